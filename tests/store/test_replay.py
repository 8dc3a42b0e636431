"""Which message a `jti` came with."""

import asyncio
from dataclasses import replace

from service.store.replay import LogoutToken
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


# Logout tokens.


async def bind_logout(
    house: House,
    message: str,
    *,
    jti: str = "1",
    iat_s: int = 0,
    lasts_s: int = 180,
    remembered_s: int = 0,
    connection_id: str = CONNECTION,
) -> LogoutToken | None:
    """What the `jti` is tied to; `iat_s`: from now; `remembered_s`: after the token's end."""
    issued_at_ms = house.clock.now_ms() + iat_s * 1000
    token = LogoutToken(message=message, issued_at_ms=issued_at_ms, until_ms=issued_at_ms + lasts_s * 1000)
    return await house.resources.replays.bind_logout(
        connection_id, UPSTREAM, jti, token=token, remembered_until_ms=token.until_ms + remembered_s * 1000
    )


async def test_of_a_logout_the_first_token_counts_however_late_it_is_signed_anew(house: House) -> None:
    first = await bind_logout(house, "message")
    assert first is not None
    assert (first.issued_at_ms, first.named_nobody) == (house.clock.now_ms(), False)
    assert await bind_logout(house, "message", iat_s=60) == first
    assert await bind_logout(house, "message", iat_s=-60) == first


async def test_another_logout_under_the_same_jti_is_told_and_the_first_stays(house: House) -> None:
    first = await bind_logout(house, "message")
    assert await bind_logout(house, "another") is None
    assert await bind_logout(house, "message") == first
    assert await bind_logout(house, "another", jti="2") is not None
    assert await bind_logout(house, "another", connection_id="con_other") is not None


async def test_a_logout_and_an_assertion_may_have_the_same_jti(house: House) -> None:
    assert await bind(house, "1", "message") == "ours"
    assert await bind_logout(house, "another") is not None


async def test_a_logout_that_named_nobody_is_remembered_as_such_and_as_long_as_is_said(house: House) -> None:
    first = await bind_logout(house, "message")
    assert first is not None
    remembering = {"token": first, "remembered_until_ms": first.until_ms + 60_000}
    await house.resources.replays.remember_logout_of_nobody(CONNECTION, UPSTREAM, "1", **remembering)
    assert await bind_logout(house, "message") == replace(first, named_nobody=True)
    assert await bind_logout(house, "another") is None
    (key,) = await house.resources.record.run("KEYS", "*")
    assert 180_000 < await house.resources.record.run("PTTL", key) <= 240_000
    # One whose time is over leaves nothing.
    await house.resources.record.run("DEL", key)
    await house.resources.replays.remember_logout_of_nobody(CONNECTION, UPSTREAM, "1", **remembering)
    assert await house.resources.record.run("KEYS", "*") == []


async def test_a_token_that_is_verified_after_its_time_is_remembered_all_the_same(house: House) -> None:
    """One that was kept: a copy of it, signed anew, may have been kept too."""
    late = await bind_logout(house, "message", iat_s=-3600, remembered_s=7200)
    assert late is not None
    assert late.issued_at_ms == house.clock.now_ms() - 3_600_000
    assert await bind_logout(house, "message", iat_s=-3540, remembered_s=7200) == late
    assert await bind_logout(house, "another", iat_s=-3540, remembered_s=7200) is None


async def test_what_is_not_to_be_remembered_any_more_is_the_first_of_its_jti(house: House) -> None:
    late = await bind_logout(house, "message", iat_s=-3600)
    assert late is not None
    assert await house.resources.record.run("KEYS", "*") == []


async def test_of_many_logouts_at_once_one_has_the_jti(house: House) -> None:
    found = await asyncio.gather(*(bind_logout(house, f"message-{n}") for n in range(10)))
    assert [each is None for each in found].count(False) == 1
