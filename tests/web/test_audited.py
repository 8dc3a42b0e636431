"""What the audit trail is to have of an operation is settled when the routes are made, and not at a caller's expense."""

import dataclasses

import pytest

from service.app import OPERATIONS
from service.web.audited import audited

RESUME = next(each for each in OPERATIONS if each.endpoint.__name__ == "resume_client")


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"path": "/api/v2/connections/{connection_id}/clients/{client_id}"}, "one resource, and this names 2"),
        ({"path": "/api/v2/things/{thing_id}"}, "could be anything"),
        ({"access": "administrator or application"}, "operators alone"),
    ],
)
def test_an_operation_whose_entry_would_not_say_what_was_changed_or_by_whom_is_refused(
    members: dict[str, str], why: str
) -> None:
    assert audited(RESUME).path == RESUME.path
    with pytest.raises(ValueError, match=why):
        audited(dataclasses.replace(RESUME, **members))
