"""What a receipt says of its scope, whatever that is."""

import pytest

from service.domain.revocation import Everything, OneSession, Revocation, Scope, SessionsBegunBy, TokenFamily
from service.web.descriptions import describe_revocation

SCOPES: list[tuple[Scope, dict[str, object], str | None]] = [
    (Everything(), {"kind": "everything"}, None),
    (OneSession(session_id="ses_1"), {"kind": "session", "session_id": "ses_1"}, "ses_1"),
    (
        SessionsBegunBy(begun_by_ms=1_700_000_000_123, upstream_sid="sid-1", or_without_sid=True),
        {
            "kind": "begun_by",
            "begun_by": "2023-11-14T22:13:20.123Z",
            "upstream_sid": "sid-1",
            "or_without_sid": True,
            "offline_too": False,
        },
        None,
    ),
    (
        TokenFamily(session_id="ses_1", family_id="rt_1"),
        {"kind": "token_family", "session_id": "ses_1", "family_id": "rt_1"},
        None,
    ),
]


@pytest.mark.parametrize(("scope", "shown", "session_id"), SCOPES, ids=[each.kind for each, *_ in SCOPES])
def test_a_receipt_says_what_was_ended(scope: Scope, shown: dict[str, object], session_id: str | None) -> None:
    revocation = Revocation(
        revocation_id="rev_1",
        connection_id="con_1",
        user_ids=("usr_1",),
        initiator="operator",
        reason=None,
        scope=scope,
        state="accepted",
        accepted_at_ms=0,
        revoked_at_ms=None,
        completed_at_ms=None,
        sessions_ended=0,
        refresh_tokens_revoked=0,
    )
    receipt = describe_revocation(revocation)
    assert receipt["scope"] == shown
    assert receipt["session_id"] == session_id
