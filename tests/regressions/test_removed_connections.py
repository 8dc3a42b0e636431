"""What is remembered of a connection that is gone: its receipts while they last, and nothing for ever."""

from service.domain.identifiers import new_session_id
from service.store import keyspace
from tests.support.contents import lifetimes_ms
from tests.support.house import CONNECTION, DAY_S, House


async def test_the_revocations_of_a_removed_connection_go_with_their_receipts(house: House, redis_url: str) -> None:
    connection = house.connection()
    await house.resources.connections.add(connection)
    before, after = await house.sign_in("ada"), new_session_id()
    await house.sign_in("ada", session_id=after)
    first = await house.revoke("ada", session_id=before)
    await house.resources.connections.remove(connection)
    house.clock.advance(1)
    last = await house.revoke("ada", session_id=after)  # sessions outlive their connection

    assert {(await house.receipt(each)).connection_id for each in (first, last)} == {CONNECTION}
    left_ms = lifetimes_ms(redis_url)
    listed = left_ms[keyspace.revocations_of_connection(CONNECTION)]
    days_ms = house.resources.settings.receipt_days * DAY_S * 1000
    assert abs(listed - days_ms) < DAY_S * 1000
    for each in (first, last):
        await house.work_off(each)
    left_ms = lifetimes_ms(redis_url)
    assert all(abs(left_ms[keyspace.revocation(each)] - days_ms) < DAY_S * 1000 for each in (first, last))
