"""A worker that died between the last outcome and the index left its revocation among the open ones for ten minutes."""

import pytest

from tests.support.breaks import redis_away
from tests.support.house import House
from tests.support.strangers import answer, stranger
from workers.notify import LEASE_MS


@pytest.mark.parametrize("at", range(1, 16))
async def test_a_finished_revocation_is_off_the_list_once_its_lease_has_run_out(house: House, at: int) -> None:
    async with stranger(answer(200)) as app:
        await house.application("crm", app.url())
        await house.sign_in("ada", "crm")
        rid = await house.revoke("ada")
        await house.resources.trail.pseudonyms.key()
        with redis_away(at=at, moment="after"):
            await house.run_queue()
        for _ in range(3):
            house.clock.advance(LEASE_MS / 1000 + 2)
            await house.worker.sweeper.sweep()
            await house.run_queue()

    assert (await house.receipt(rid)).state == "completed"
    assert (await house.open_revocations(), await house.due()) == (set(), {})
