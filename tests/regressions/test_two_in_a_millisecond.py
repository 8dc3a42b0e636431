"""Two revocations of one person within a millisecond: what both cover is counted by the first, whoever is worked off first."""

import pytest

from service.domain.revocation import Everything, Scope, SessionsBegunBy
from tests.support.house import House

NAMES = ("rev_b", "rev_a")
"""Their ids, against the order in which they come: Redis sorts what has one score by name."""

PAIRS = [(first, second) for first in ("everything", "logout") for second in ("everything", "logout")]


def scopes(house: House) -> dict[str, Scope]:
    """What each may ask for."""
    logout = SessionsBegunBy(begun_by_ms=house.clock.now_ms(), offline_too=True)
    return {"everything": Everything(), "logout": logout}


@pytest.mark.parametrize("worked_off", ["in order", "the other way round"])
@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_the_first_of_two_counts_what_both_end(house: House, first: str, second: str, worked_off: str) -> None:
    session = await house.sign_in("ada", "crm")
    await house.issue(session, "crm", offline=True)
    for name, kind in zip(NAMES, (first, second), strict=True):
        scope = scopes(house)[kind]
        await house.resources.sink.accept(house.request("ada", scope=scope, revocation_id=name))
    for name in NAMES if worked_off == "in order" else reversed(NAMES):
        await house.work_off(name)
    receipts = [await house.receipt(name) for name in NAMES]
    assert [(each.sessions_ended, each.refresh_tokens_revoked) for each in receipts] == [(1, 1), (0, 0)]


async def test_a_sign_in_in_the_same_millisecond_is_none_of_theirs(house: House) -> None:
    for name in NAMES:
        await house.resources.sink.accept(house.request("ada", revocation_id=name))
    since = await house.sign_in("ada")
    for name in NAMES:
        await house.work_off(name)
    assert await house.session_honoured(since)
