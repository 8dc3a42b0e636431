"""Values to JSON and back."""

import traceback
from dataclasses import replace

import pytest

from service.domain.application import Application
from service.domain.connection import Connection, ConnectionOptions
from service.domain.delivery import Attempt, Delivery
from service.store.codec import UnreadableError, from_json, to_json

DELIVERY = Delivery(
    delivery_id="dlv_1_2",
    user_id="usr_1",
    client_id="crm",
    sub="ada",
    sid="ses_1",
    state="retrying",
    reason=None,
    attempts=(Attempt(at_ms=1_800_000_000_000, duration_ms=7, status=503, error="server_error"),),
    attempt_count=1,
    first_attempt_at_ms=1_800_000_000_000,
    next_attempt_at_ms=1_800_000_001_000,
)

CONNECTION = Connection(
    id="con_1",
    name="okta",
    options=ConnectionOptions(
        type="front_channel", client_id="0oa1", issuer="https://ä.example", authorization_endpoint="https://a"
    ),
    enabled_clients=("crm", "mail"),
    created_at_ms=1,
    updated_at_ms=2,
)


@pytest.mark.parametrize("value", [DELIVERY, replace(DELIVERY, attempts=(), sid=None), CONNECTION])
def test_what_was_written_reads_back_equal(value: object) -> None:
    assert from_json(type(value), to_json(value)) == value


def test_members_at_their_default_are_written_so_that_a_later_default_changes_no_old_record() -> None:
    application = Application(client_id="crm", client_secret_hash="", created_at_ms=1, updated_at_ms=1)
    written = to_json(application)
    assert '"id_token_signed_response_alg":"RS256"' in written
    assert '"backchannel_logout_uri":null' in written


def test_members_an_older_version_did_not_write_take_their_default() -> None:
    raw = '{"client_id":"crm","client_secret_hash":"","created_at_ms":1,"updated_at_ms":1}'
    assert from_json(Application, raw).id_token_signed_response_alg == "RS256"


def test_whole_numbers_are_written_in_digits() -> None:
    assert '"at_ms":1800000000000,' in to_json(DELIVERY)


@pytest.mark.parametrize("raw", ["", "null", "[]", "{", '{"client_id":"crm"}'])
def test_what_is_no_such_value_is_refused(raw: str) -> None:
    with pytest.raises(UnreadableError):
        from_json(Application, raw)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ('{"client_id": "ada@example.com"', "Application cannot be read: the whole: json_invalid"),
        (
            '{"client_id": ["ada@example.com"], "client_secret_hash": "", "created_at_ms": "ada@", "updated_at_ms": 1}',
            "Application cannot be read: client_id: string_type; created_at_ms: int_parsing",
        ),
    ],
)
def test_what_cannot_be_read_is_not_repeated_in_what_is_told_of_it(raw: str, told: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        from_json(Application, raw)
    assert str(raised.value) == told
    assert "ada@" not in "".join(traceback.format_exception(raised.value))
    assert raised.value.__context__ is None
