"""Within the grace for lost answers a refresh token may have two successors. Once both are spent there are two holders."""

from pathlib import Path

from service.store.refresh_tokens import Reused
from tests.support.house import open_house


async def test_a_second_successor_that_is_spent_ends_the_family(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path) as house:
        session = await house.sign_in("ada", "crm")
        first = await house.issue(session, "crm")
        kept, lost = [await house.rotated(first, grace_s=10) for _ in range(2)]
        newest = await house.rotated(kept)
        assert await house.token_honoured(newest)

        assert isinstance(await house.rotate(lost), Reused)
        await house.revoke_family(lost, initiator="refresh_token_reuse")

        assert not any([await house.token_honoured(each) for each in (first, kept, lost, newest)])
        assert await house.session_honoured(session)
