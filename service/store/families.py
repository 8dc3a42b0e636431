"""Families of refresh tokens as Redis knows them: each of a first token and all it is rotated into."""

from typing import Final

from service.store import person_keys
from service.store.record import Record

BY_ITS_CLIENT: Final = ""
"""In place of a revocation's id: an application gave its own token back, of which there is no receipt."""


class Families:
    """The families of every session's refresh tokens. `receipt_ms`: how long a revocation's receipt is kept."""

    def __init__(self, record: Record, *, receipt_ms: int) -> None:
        self._record = record
        self._receipt_ms = receipt_ms

    async def end(
        self,
        user_id: str,
        session_id: str,
        family_id: str,
        revocation_id: str,
        *,
        now_ms: int,
        accepted_at_ms: int,
    ) -> None:
        """End one family, in one atomic step; one that has ended already stays as it is.

        Its tokens that may be honoured are deleted, so nothing is left to be tidied up.
        """
        await self._record.script(
            "end_token_family",
            [
                person_keys.person(user_id),
                person_keys.revocations(user_id),
                person_keys.session(user_id, session_id),
                person_keys.session_tokens(user_id, session_id),
                person_keys.token_family(user_id, family_id),
                person_keys.family_tokens(user_id, family_id),
            ],
            [revocation_id, now_ms, accepted_at_ms, now_ms - self._receipt_ms],
        )

    async def has_ended(self, user_id: str, family_id: str) -> bool:
        """Whether something has ended it, or it is forgotten: then it ends no more."""
        key = person_keys.token_family(user_id, family_id)
        there, ended = await self._record.ask_all([("EXISTS", key), ("HEXISTS", key, "ended_by")])
        return not there or bool(ended)

    async def tokens_ended(self, user_id: str, family_id: str, revocation_id: str) -> int:
        """How many tokens that were honoured a revocation ended with the family; none when another had ended it before."""
        key = person_keys.token_family(user_id, family_id)
        ended_by, live = await self._record.run("HMGET", key, "ended_by", "live_tokens")
        return int(live) if live is not None and ended_by == revocation_id else 0
