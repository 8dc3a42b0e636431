"""Which message a `jti` came with."""

import asyncio

from tests.support.house import CONNECTION, UPSTREAM, House


async def bind(
    house: House, jti: str, message: str, *, connection_id: str = CONNECTION, iss: str = UPSTREAM, lasts_s: int = 300
) -> str:
    until_ms = house.clock.now_ms() + lasts_s * 1000
    return await house.resources.replays.bind(connection_id, iss, jti, message=message, until_ms=until_ms)


async def remember_unknown(house: House, jti: str, message: str) -> None:
    until_ms = house.clock.now_ms() + 300_000
    await house.resources.replays.remember_unknown(CONNECTION, UPSTREAM, jti, message=message, until_ms=until_ms)


async def test_the_same_message_passes_again_and_another_does_not(house: House) -> None:
    assert await bind(house, "1", "message") == "ours"
    assert await bind(house, "1", "message") == "ours"
    assert await bind(house, "1", "another") == "another"
    assert await bind(house, "1", "message") == "ours"


async def test_a_jti_is_of_one_issuer_through_one_connection(house: House) -> None:
    assert await bind(house, "1", "a") == "ours"
    assert await bind(house, "1", "b", iss=f"{UPSTREAM}/") == "ours"
    assert await bind(house, "1", "c", connection_id="con_other") == "ours"
    assert await bind(house, "2", "d") == "ours"


async def test_no_choice_of_issuer_and_jti_is_taken_for_another(house: House) -> None:
    assert await bind(house, "bc", "first", iss="a") == "ours"
    assert await bind(house, "c", "second", iss="ab") == "ours"


async def test_of_many_messages_at_once_one_has_the_jti(house: House) -> None:
    passed = await asyncio.gather(*(bind(house, "1", f"message-{n}") for n in range(10)))
    assert sorted(passed) == ["another"] * 9 + ["ours"]


async def test_a_message_that_named_nobody_is_remembered_as_such(house: House) -> None:
    await bind(house, "1", "message")
    await remember_unknown(house, "1", "message")
    assert await bind(house, "1", "message") == "answered_unknown"
    assert await bind(house, "1", "another") == "another"
    assert await bind(house, "2", "message") == "ours"


async def test_it_is_forgotten_when_the_token_could_not_be_accepted_any_more(house: House) -> None:
    await bind(house, "1", "message", lasts_s=300)
    (key,) = await house.resources.record.run("KEYS", "*")
    assert 0 < await house.resources.record.run("PTTL", key) <= 300_000
    assert "1" not in key.rpartition(":")[0]
