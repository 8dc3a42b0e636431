"""Rotations that run into the end of what they hang on, on many connections at once: whatever came first, nothing lives.

A rotation in flight must not write a fresh token after the sweep. Each race is real: both sides wait for the same Redis, and
which of them is first is up to it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from service.domain.identifiers import new_refresh_token
from service.domain.refresh_token import RefreshToken
from service.errors import InvalidGrant
from service.store.families import BY_ITS_CLIENT
from service.store.refresh_tokens import Reused
from tests.support.house import House, user_id

RACES = 800
"""How often each end is raced: thousands in all."""

AT_ONCE = 25
"""Races that run at the same time. Each has two sides, and all of them fewer than there are connections: none waits for one."""

ROTATIONS = 3
"""How often a client rotates in one race, if it is let."""

HEAD_START = 14
"""Most round trips the end waits before it begins: about as long as a client needs for all its rotations."""

End = Callable[[House, str, RefreshToken], Awaitable[object]]


async def everything(house: House, who: str, _token: RefreshToken) -> None:
    """The person is signed out."""
    await house.revoke(who)


async def one_session(house: House, who: str, token: RefreshToken) -> None:
    """Their session is deleted."""
    await house.revoke(who, session_id=token.session_id)


async def its_family(house: House, who: str, token: RefreshToken) -> None:
    """The application gives the token back."""
    now_ms = house.clock.now_ms()
    await house.resources.people.families.end(
        user_id(who), token.session_id, token.family_id, BY_ITS_CLIENT, now_ms=now_ms, accepted_at_ms=now_ms
    )


async def rotate(house: House, held: list[str], *, grace_s: int) -> None:
    """What a client does that keeps its newest token fresh, until it is refused."""
    for _ in range(ROTATIONS):
        successor = new_refresh_token()
        try:
            assert isinstance(await house.rotate(held[-1], grace_s=grace_s, successor=successor), RefreshToken)
        except InvalidGrant:
            return
        held.append(successor)


async def race(house: House, end: End, number: int, dice: random.Random) -> int:
    """One race; how many rotations came before the end."""
    who = f"person-{number}"
    first = await house.issue(await house.sign_in(who, "crm"), "crm", offline=dice.random() < 0.5)
    token = await house.resources.refresh_tokens.find(first)
    assert token is not None
    head_start, held = dice.randrange(HEAD_START), [first]

    async def end_it() -> None:
        for _ in range(head_start):
            await house.resources.record.run("PING")
        await end(house, who, token)

    sides = [rotate(house, held, grace_s=dice.choice((0, 10))), end_it()]
    dice.shuffle(sides)
    await asyncio.gather(*sides)

    assert not any(await asyncio.gather(*(house.token_honoured(each) for each in held))), (number, len(held))
    for each in {first, held[-1]}:
        with pytest.raises(InvalidGrant):
            await house.rotate(each, grace_s=10)
    return len(held) - 1


@pytest.mark.parametrize("end", [everything, one_session, its_family], ids=lambda each: each.__name__)
async def test_a_rotation_that_races_an_end_never_leaves_a_live_token(house: House, end: End) -> None:
    dice = random.Random(f"rotation against {end.__name__}")
    came_before: Counter[int] = Counter()
    for begin in range(0, RACES, AT_ONCE):
        races = [race(house, end, number, dice) for number in range(begin, begin + AT_ONCE)]
        came_before.update(await asyncio.gather(*races))
    # A race that one side always wins is none.
    assert set(came_before) == set(range(ROTATIONS + 1))


async def test_two_who_spend_one_token_at_once_leave_nothing_to_either(house: House) -> None:
    async def spend_twice(number: int) -> None:
        first = await house.issue(await house.sign_in(f"person-{number}", "crm"), "crm")
        successors = [new_refresh_token(), new_refresh_token()]
        answers = await asyncio.gather(*(house.rotate(first, successor=each) for each in successors))
        assert sorted(type(each).__name__ for each in answers) == [RefreshToken.__name__, Reused.__name__]
        await house.revoke_family(first, initiator="refresh_token_reuse")
        assert not any(await asyncio.gather(*(house.token_honoured(each) for each in (first, *successors))))

    for begin in range(0, RACES // 2, AT_ONCE):
        await asyncio.gather(*(spend_twice(number) for number in range(begin, begin + AT_ONCE)))
