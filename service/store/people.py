"""People as Redis knows them: who an identifier names, and the one step that ends what is theirs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from service.domain.identifiers import fingerprint
from service.domain.revocation import SessionsBegunBy
from service.domain.subject import SubjectIdentifier
from service.errors import CannotBeEnded
from service.store import keyspace, person_keys
from service.store.families import Families
from service.store.record import Command, Record, Script

T = TypeVar("T")

MAX_PEOPLE: Final = 10_000
"""Most people a subject may name before a revocation of it is refused. All are signed out, for of the two errors that is the
safe one; this many are more than one job can see to, and no person's name."""

CHUNK: Final = 500
"""Most people, sessions or tokens in one round trip: Redis serves others in between."""

LATE_MARGIN_MS: Final = 1000
"""How far a cut-off completed after a crash reaches past its acceptance, in milliseconds: the clocks of two machines
differ by so much, and of the two errors signing out one sign-in too many is the safe one."""

PROMPT_MS: Final = 60_000
"""How old a message may be that is no late one, in milliseconds: as far as the identity provider's clock may be from ours."""

SIGN_IN_MS: Final = 86_400_000
"""How long the logout of an upstream session is remembered for sign-ins that had begun before it and are reported after it,
in milliseconds: a day, and none takes as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person, as known through one connection."""

    user_id: str
    connection_id: str
    iss: str
    sub: str
    created_at_ms: int
    revoked_at_ms: int | None
    identifiers: tuple[dict[str, str], ...]


class People:
    """The people of every connection."""

    def __init__(self, record: Record, *, receipt_ms: int) -> None:
        self._record = record
        self._receipt_ms = receipt_ms
        self.families = Families(record, receipt_ms=receipt_ms)

    async def register(self, user_id: str, connection_id: str, identifiers: Sequence[SubjectIdentifier]) -> None:
        """Let each identifier name this person within the connection.

        Comes before the sign-in is recorded: from its first moment a session can be found by every name given for it.
        """
        await self._record.pipeline(
            [("SADD", identifier_key(connection_id, each), user_id) for each in identifiers],
        )

    async def resolve(self, connection_id: str, identifiers: Sequence[SubjectIdentifier]) -> tuple[str, ...]:
        """Everyone these identifiers name within this connection, and nobody else (law 4); empty when unknown.

        An `opaque` identifier may also be a user_id of ours. Raises CannotBeEnded when one names more than `MAX_PEOPLE`.
        """
        commands: list[Command | Script] = [("SMEMBERS", identifier_key(connection_id, each)) for each in identifiers]
        opaque = [each.value[0] for each in identifiers if each.format == "opaque"]
        commands += [("HGET", person_keys.person(user_id), "connection_id") for user_id in opaque]
        # Of the primary: of nobody known here a message may be acknowledged, and nothing done.
        answers = await self._record.ask_all(commands)
        named: set[str] = set()
        for members in answers[: len(identifiers)]:
            named.update(members)
        named.update(
            user_id for user_id, home in zip(opaque, answers[len(identifiers) :], strict=True) if home == connection_id
        )
        if len(named) > MAX_PEOPLE:
            raise CannotBeEnded(f"the subject names more than {MAX_PEOPLE} people")
        return tuple(sorted(named))

    async def get(self, user_id: str) -> Person | None:
        """One person, or None."""
        fields, identifiers = await self._record.pipeline(
            [("HGETALL", person_keys.person(user_id)), ("SMEMBERS", person_keys.identifiers(user_id))]
        )
        if "connection_id" not in fields:
            return None
        return Person(
            user_id=user_id,
            connection_id=fields["connection_id"],
            iss=fields["iss"],
            sub=fields["sub"],
            created_at_ms=int(fields["created_at_ms"]),
            revoked_at_ms=int(fields["revoked_at_ms"]) if "revoked_at_ms" in fields else None,
            identifiers=tuple(json.loads(each) for each in sorted(identifiers)),
        )

    async def cut_off(
        self, user_ids: Sequence[str], revocation_id: str, *, now_ms: int, accepted_at_ms: int, late: bool = False
    ) -> None:
        """End everything each of these people holds, in one atomic O(1) step a person.

        `late`: completing a revocation that was recorded but, a crash between, never cut off and never acknowledged.
        """
        moment = accepted_at_ms + LATE_MARGIN_MS if late else accepted_at_ms
        arguments: list[str | int] = [revocation_id, now_ms, moment, _flag(late), now_ms - self._receipt_ms]
        for chunk in chunks(user_ids):
            await self._record.pipeline(
                [
                    Script(
                        "cut_off",
                        [person_keys.person(user_id), person_keys.cutoffs(user_id), person_keys.revocations(user_id)],
                        arguments,
                    )
                    for user_id in chunk
                ]
            )

    async def cut_off_begun_by(
        self,
        user_ids: Sequence[str],
        scope: SessionsBegunBy,
        revocation_id: str,
        *,
        now_ms: int,
        accepted_at_ms: int,
        late: bool = False,
    ) -> None:
        """End what each of these people began no later than the scope says, in one atomic O(1) step a person."""
        moment = accepted_at_ms + LATE_MARGIN_MS if late else accepted_at_ms
        arguments: list[str | int] = [
            *(revocation_id, now_ms, moment, _flag(late), now_ms - self._receipt_ms),
            *(scope.begun_by_ms, scope.upstream_sid or "", _flag(scope.or_without_sid), _flag(scope.offline_too)),
            *(now_ms - SIGN_IN_MS, _flag(is_prompt(scope, accepted_at_ms)), arrived_ms(scope) or ""),
        ]
        for chunk in chunks(user_ids):
            await self._record.pipeline(
                [
                    Script(
                        "cut_off_begun_by",
                        [
                            person_keys.person(user_id),
                            person_keys.logouts(user_id),
                            person_keys.logout_cutoffs(user_id),
                            person_keys.ended_sids(user_id),
                            person_keys.revocations(user_id),
                        ],
                        arguments,
                    )
                    for user_id in chunk
                ]
            )

    async def end_session(
        self, user_id: str, session_id: str, revocation_id: str, *, now_ms: int, accepted_at_ms: int
    ) -> None:
        """End one session and its tokens."""
        await self._record.script(
            "end_session",
            [person_keys.person(user_id), person_keys.revocations(user_id), person_keys.session(user_id, session_id)],
            [revocation_id, now_ms, accepted_at_ms, now_ms - self._receipt_ms],
        )


def is_prompt(scope: SessionsBegunBy, accepted_at_ms: int) -> bool:
    """Whether the message that asks for this had come at once: when it was accepted, or kept to be verified later."""
    return (scope.arrived_at_ms or accepted_at_ms) - scope.begun_by_ms <= PROMPT_MS


def arrived_ms(scope: SessionsBegunBy) -> int | None:
    """Through which stamp a message that was kept may be believed to mean what began after it by our clock; None: through
    all of them."""
    return None if scope.arrived_at_ms is None else scope.arrived_at_ms + LATE_MARGIN_MS


def participation_keys(user_id: str) -> tuple[str, str, str, str]:
    """What is remembered of a person's part in applications, the two indexes of it, and what had no room, as the scripts take
    them."""
    return (
        person_keys.participation(user_id),
        person_keys.participation_until(user_id),
        person_keys.participation_counts(user_id),
        person_keys.participation_lost(user_id),
    )


def participation_field(client_id: str, sid: str, session_id: str) -> str:
    """The name of an application's part in a session among all a person takes part in. The session's own id is in it: an
    application may know two sessions, one after the other, by the same `sid`."""
    return json.dumps([client_id, sid, session_id])


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """`items`, at most CHUNK at a time."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _flag(value: bool) -> str:  # noqa: FBT001 - the only argument
    return "1" if value else "0"


def identifier_key(connection_id: str, identifier: SubjectIdentifier) -> str:
    """The key of the people this identifier names within a connection."""
    return keyspace.identifier(connection_id, fingerprint(identifier.format, *identifier.value))
