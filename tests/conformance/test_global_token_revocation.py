"""Global Token Revocation, clause by clause, over real HTTP with real signatures.

The draft (draft-parecki-oauth-global-token-revocation) by the titles of its sections; `okta`: the profile that is
deployed, Okta's Universal Logout guide; RFC 6750 for the bearer token, 7515, 7519, 7523 and 8725 for the JWT, 9493 for the
subject. The service stands here without a worker, and every refusal is checked to have changed nothing.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from service.domain.connection import SIGNING_ALGORITHMS
from service.domain.identifiers import fingerprint
from service.domain.subject import parse_identifier
from service.embedded_redis import EmbeddedRedis
from service.store import keyspace
from tests.support import tokens
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.lone_service import clock, idp, parties, server, story
from tests.support.redis_server import connect
from tests.support.revocation_door import RevocationDoor, is_refusal
from tests.support.story import Story, by_aliases, by_email, by_iss_sub, by_opaque, by_phone_number
from tests.support.tokens import REMOVED

__all__ = ["clock", "idp", "parties", "server", "story"]

MAX_BODY_BYTES = 65_536
"""Largest body that is read, in bytes."""


@pytest.fixture
def door(story: Story, clock: HandClock) -> RevocationDoor:
    """A door, with somebody behind it."""
    return RevocationDoor.open(story, clock)


# The draft, "Revocation Request".


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_draft_revocation_request_is_a_post(door: RevocationDoor, method: str) -> None:
    credential = {"Authorization": f"Bearer {door.assertion()}"}
    answer = door.story.server.http.request(method, door.url, headers=credential)

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert door.nothing_happened


@pytest.mark.parametrize("naming", ["email", "iss_sub", "opaque", "phone_number", "aliases"])
def test_draft_revocation_request_names_the_person_by_a_subject_identifier(door: RevocationDoor, naming: str) -> None:
    subjects = {
        "email": by_email(door.ada.email),
        "iss_sub": by_iss_sub(door.idp.issuer, door.ada.sub),
        "opaque": by_opaque(door.session.user_id),
        "phone_number": by_phone_number(door.ada.phone_number),
        "aliases": by_aliases(by_opaque("nobody"), by_email(door.ada.email)),
    }

    assert door.send(subjects[naming]).status_code == 204
    assert door.everything_is_dead


def test_draft_revocation_request_up_to_version_02_calls_the_member_subject(door: RevocationDoor) -> None:
    assert door.send_body({"subject": door.subject}).status_code == 204
    assert door.everything_is_dead


@pytest.mark.parametrize("members", [(), ("sub_id", "subject")])
def test_draft_revocation_request_has_exactly_one_subject(door: RevocationDoor, members: tuple[str, ...]) -> None:
    assert is_refusal(door.send_body(dict.fromkeys(members, door.subject)), 400, "`sub_id`")
    assert door.nothing_happened


def test_draft_revocation_request_may_have_further_members_and_they_mean_nothing(door: RevocationDoor) -> None:
    assert door.send_body({"sub_id": door.subject, "reason": "policy", "event": None}).status_code == 204
    assert door.everything_is_dead


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/gtr+json"]
)
def test_draft_revocation_request_is_json(door: RevocationDoor, content_type: str) -> None:
    body = {"sub_id": door.subject}

    assert door.send_body(body, headers={"Content-Type": content_type}).status_code == 204
    assert door.everything_is_dead


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "text/json", ""])
def test_draft_revocation_request_that_is_not_json_is_415(door: RevocationDoor, content_type: str) -> None:
    answer = door.send_body({"sub_id": door.subject}, headers={"Content-Type": content_type})

    assert is_refusal(answer, 415, "application/json", error="invalid_request")
    assert door.nothing_happened


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"sub_id"',
        b"\xff",
        b'{"sub_id":null}',
        b'{"sub_id":[]}',
        b'{"sub_id":"SUBJECT"}',
        b'{"sub_id":SUBJECT,"sub_id":SUBJECT}',
        b'{"sub_id":SUBJECT,"n":NaN}',
        b'{"sub_id":SUBJECT}{}',
        b"[" * 30_000,
    ],
)
def test_draft_revocation_response_to_a_malformed_body_is_400(door: RevocationDoor, body: bytes) -> None:
    answer = door.send_body(body.replace(b"SUBJECT", json.dumps(door.subject).encode()))

    assert is_refusal(answer, 400)
    assert door.nothing_happened


@pytest.mark.parametrize(
    "subject",
    [
        {},
        {"email": "EMAIL"},
        {"format": "uid", "id": "EMAIL"},
        {"format": "phone", "phone_number": "+4930123456"},
        {"format": "email"},
        {"format": "email", "email": ""},
        {"format": "email", "email": None},
        {"format": "email", "email": ["EMAIL"]},
        {"format": "email", "email": "EMAIL", "iss": "https://idp.example.com"},
        {"format": "iss_sub", "sub": "EMAIL"},
        {"format": "aliases", "identifiers": []},
        {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [by_opaque("x")]}]},
    ],
)
def test_rfc_9493_section_3_a_subject_identifier_that_is_none_is_400(
    door: RevocationDoor, subject: dict[str, Any]
) -> None:
    written = json.dumps({"sub_id": subject}).replace("EMAIL", door.ada.email)
    answer = door.send_body(written.encode())

    assert is_refusal(answer, 400)
    assert door.ada.email not in answer.text
    assert door.nothing_happened


# The draft, "Revocation Expectations".


def test_draft_revocation_expectations_every_refresh_token_dies_whatever_offline_access_said(
    door: RevocationDoor,
) -> None:
    server, story = door.story.server, door.story
    phone = story.sign_in(door.ada, door.connection, door.web)
    more = [server.refresh_token(phone, door.web, offline=offline) for offline in (True, False)]

    assert door.send().status_code == 204

    assert door.everything_is_dead
    assert story.is_over(phone)
    assert not any(server.is_active(each, by=door.web) for each in (*more, door.online, door.offline))


def test_draft_revocation_expectations_the_person_must_authenticate_again(
    door: RevocationDoor, clock: HandClock
) -> None:
    server, story = door.story.server, door.story
    before = clock.now_s
    assert door.send().status_code == 204

    session = {"session_id": door.session.session_id, "client_id": door.web.client_id}
    assert server.call("POST", "/api/v2/refresh-tokens", session).status_code == 404
    for auth_time in (before - 1, before):
        body = story.sign_in_body(door.ada, door.connection, door.web, auth_time=auth_time)
        assert is_refusal(server.call("POST", "/api/v2/sessions", body), 409, error="reauthentication_required")

    clock.advance(1)
    again = story.sign_in(door.ada, door.connection, door.web, auth_time=clock.now_s)
    assert server.is_active(server.refresh_token(again, door.web))
    assert door.everything_is_dead


# The draft, "Revocation Response".


def test_draft_revocation_response_to_an_accepted_request_is_204_and_empty(door: RevocationDoor) -> None:
    answer = door.send()

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert "content-type" not in answer.headers


def test_draft_revocation_response_to_a_disabled_connections_provider_is_403(door: RevocationDoor) -> None:
    door.story.server.ask("PATCH", f"/api/v2/connections/{door.connection.id}", {"enabled": False})

    assert is_refusal(door.send(), 403, "disabled")
    assert door.nothing_happened


def test_draft_revocation_response_about_nobody_is_404(door: RevocationDoor) -> None:
    answer = door.send(by_email("nobody@example.com"))

    assert is_refusal(answer, 404)
    assert "nobody@" not in answer.text
    assert door.nothing_happened


def test_draft_revocation_response_about_somebody_who_cannot_be_signed_out_is_422(
    door: RevocationDoor, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More people than one answer of Redis should hold; a smaller limit stands in for the hundred thousand it takes.
    monkeypatch.setattr("service.store.people.MAX_PEOPLE", 1000)
    everybody = by_email("everybody@example.com")
    parsed = parse_identifier(everybody)
    key = keyspace.identifier(door.connection.id, fingerprint(parsed.format, *parsed.value))
    with closing(connect(redis_server)) as client:
        client.sadd(key, door.session.user_id, *(f"usr_{number}" for number in range(1000)))

    assert is_refusal(door.send(everybody), 422, error="cannot_be_ended")
    assert door.nothing_happened


def test_draft_revocation_response_about_a_known_person_without_a_session_is_204(door: RevocationDoor) -> None:
    assert [door.send().status_code for _ in range(2)] == [204, 204]
    assert door.everything_is_dead


@pytest.mark.parametrize(
    ("credential", "enabled", "body", "expected"),
    [
        ("bad", False, "malformed", 401),
        ("bad", False, "unknown", 401),
        ("bad", True, "malformed", 401),
        ("bad", True, "unknown", 401),
        ("bad", True, "huge", 401),
        ("good", False, "malformed", 403),
        ("good", False, "unknown", 403),
        ("good", True, "malformed", 400),
        ("good", True, "unknown", 404),
    ],
)
def test_okta_response_codes_come_in_the_order_401_403_400_404(
    door: RevocationDoor, credential: str, enabled: bool, body: str, expected: int
) -> None:
    door.story.server.ask("PATCH", f"/api/v2/connections/{door.connection.id}", {"enabled": enabled})
    bodies = {
        "malformed": b"{",
        "unknown": json.dumps({"sub_id": by_opaque("nobody")}).encode(),
        "huge": b" " * (MAX_BODY_BYTES + 1),
    }
    assertion = door.assertion(claims={"aud": "https://elsewhere.example.com"} if credential == "bad" else {})

    assert is_refusal(door.send_body(bodies[body], assertion=assertion), expected)
    assert door.nothing_happened


def test_contract_a_body_of_64_kib_is_read_and_a_longer_one_is_413(door: RevocationDoor) -> None:
    body = json.dumps({"sub_id": door.subject}).encode()

    longer = door.send_body(body.ljust(MAX_BODY_BYTES + 1))
    assert is_refusal(longer, 413, error="request_too_large")
    assert door.nothing_happened

    assert door.send_body(body.ljust(MAX_BODY_BYTES)).status_code == 204
    assert door.everything_is_dead


def test_contract_keys_that_cannot_be_had_are_503_and_no_word_against_the_credential(
    story: Story, clock: HandClock
) -> None:
    with IdentityProvider.in_thread() as broken:
        broken.broken.add("discovery")
        by_hand = {
            "type": "back_channel",
            "issuer": broken.issuer,
            "authorization_endpoint": f"{broken.issuer}/authorize",
            "client_id": "0oaByHand",
        }
        connection = story.server.connect(f"by-hand-{story.mark}", by_hand, [])
        assertion = broken.assertion(audience=connection.endpoint, client_id="0oaByHand", now_s=clock.now_s)

        answer = story.revoke(connection, by_opaque("nobody"), assertion=assertion)

        assert is_refusal(answer, 503, error="temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0

        broken.broken.clear()
        clock.advance(60)
        assertion = broken.assertion(audience=connection.endpoint, client_id="0oaByHand", now_s=clock.now_s)
        assert story.revoke(connection, by_opaque("nobody"), assertion=assertion).status_code == 404


# The draft, "Authorization Server Metadata" (RFC 8414).


@pytest.mark.parametrize("document", ["oauth-authorization-server", "openid-configuration"])
def test_draft_metadata_says_where_the_endpoint_is_and_how_callers_authenticate(
    door: RevocationDoor, document: str
) -> None:
    metadata = door.story.server.http.get(f"/.well-known/{document}").json()

    endpoint = metadata["global_token_revocation_endpoint"]
    assert endpoint.replace("{connection_name}", door.connection.name) == door.url
    # A name of the IANA registry "OAuth Access Token Types".
    assert metadata["global_token_revocation_endpoint_auth_methods_supported"] == ["Bearer"]


# The draft, "Security Considerations".


def test_draft_security_a_credential_reaches_its_own_tenants_people_only(story: Story, clock: HandClock) -> None:
    here, there = RevocationDoor.open(story, clock, "here"), RevocationDoor.open(story, clock, "there")

    for subject in (there.subject, by_opaque(there.session.user_id), by_iss_sub(story.idp.issuer, there.ada.sub)):
        assert is_refusal(here.send(subject), 404)

    assert there.nothing_happened
    assert here.nothing_happened


def test_draft_security_a_credential_cannot_be_replayed_at_another_door(story: Story, clock: HandClock) -> None:
    # One registration at the identity provider, two connections: nothing but the address tells them apart.
    here, there = (RevocationDoor.open(story, clock, name, client_id="0oaShared") for name in ("here", "there"))

    assert is_refusal(there.present(here.assertion()), 401, "`aud`")
    assert there.nothing_happened


def test_draft_security_a_connection_that_does_not_exist_answers_like_one_whose_credential_is_wrong(
    door: RevocationDoor,
) -> None:
    forged = door.assertion()[:-8] + "AAAAAAAA"
    url = door.url + "-that-is-not-there"

    existing = door.present(forged)
    missing = door.send_body({"sub_id": door.subject}, assertion=forged, url=url)

    assert is_refusal(existing, 401)
    assert (missing.status_code, missing.content) == (existing.status_code, existing.content)
    for name in ("www-authenticate", "cache-control", "content-type"):
        assert missing.headers[name] == existing.headers[name]


def test_draft_security_every_refusal_is_counted_by_its_reason(door: RevocationDoor) -> None:
    def counted(outcome: str) -> float:
        line = f'logoutd_door_requests_total{{door="global_token_revocation",outcome="{outcome}"}} '
        numbers = door.story.server.http.get("/metrics").text
        return sum(float(each.removeprefix(line)) for each in numbers.splitlines() if each.startswith(line))

    before = {outcome: counted(outcome) for outcome in ("not_found", "wrong_aud", "invalid_request", "accepted")}
    door.send(by_opaque("nobody"))
    door.present(door.assertion(claims={"aud": "https://elsewhere.example.com"}))
    door.send_body([])
    door.send()

    assert {outcome: counted(outcome) - count for outcome, count in before.items()} == dict.fromkeys(before, 1)


# RFC 6750: the credential is a bearer token, in its header.


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Basic {}", "DPoP {}", "{}", "Bearer {} {}", "Bearer: {}"]
)
def test_rfc_6750_section_2_1_a_request_without_a_bearer_token_is_401(
    door: RevocationDoor, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.replace("{}", door.assertion())}

    answer = door.story.server.http.post(door.url, json={"sub_id": door.subject}, headers=headers)

    assert is_refusal(answer, 401)
    assert door.nothing_happened


def test_rfc_6750_section_2_1_the_schemes_name_is_read_in_any_case(door: RevocationDoor) -> None:
    answer = door.send_body({"sub_id": door.subject}, headers={"Authorization": f"bEARER {door.assertion()}"})

    assert answer.status_code == 204


def test_rfc_6750_sections_2_2_and_2_3_a_token_in_the_body_or_the_query_does_not_count(door: RevocationDoor) -> None:
    token = door.assertion()

    answer = door.story.server.http.post(
        f"{door.url}?access_token={token}", json={"sub_id": door.subject, "access_token": token}
    )

    assert is_refusal(answer, 401)
    assert door.nothing_happened


# Okta, "Endpoint authentication": the header and the claims, each as documented and each other.


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_okta_endpoint_authentication_signed_as_the_providers_id_tokens_are_with_and_without_kid(
    door: RevocationDoor, alg: str, named: bool
) -> None:
    header = {"typ": "global-token-revocation+jwt", "alg": alg}
    if named:
        header["kid"] = str(door.idp.keys[alg].kid)
    now = door.clock.now_s
    claims = {
        "jti": "f0c4c9d5",
        "iss": door.idp.issuer,
        "sub": door.connection.client_id,
        "aud": door.url,
        "exp": now + 300,
        "nbf": now - 300,
        "iat": now,
    }

    assert door.present(tokens.signed(claims, key=door.idp.keys[alg], alg=alg, header=header)).status_code == 204
    assert door.everything_is_dead


@pytest.mark.parametrize("typ", [REMOVED, "JWT", "at+jwt", "logout+jwt", "secevent+jwt", "global-token-revocation"])
def test_rfc_8725_section_3_11_another_kind_of_token_is_401(door: RevocationDoor, typ: object) -> None:
    assert is_refusal(door.present(door.assertion(header={"typ": typ})), 401, "`typ`")
    assert door.nothing_happened


@pytest.mark.parametrize("typ", ["application/global-token-revocation+jwt", "Global-Token-Revocation+JWT"])
def test_rfc_7515_section_4_1_9_typ_compares_as_a_media_type(door: RevocationDoor, typ: str) -> None:
    assert door.present(door.assertion(header={"typ": typ})).status_code == 204


@pytest.mark.parametrize("iss", [REMOVED, "ISSUER/", "https://elsewhere.example.com", ["ISSUER"], None])
def test_rfc_7523_section_3_item_1_iss_is_the_providers_to_the_letter(door: RevocationDoor, iss: Any) -> None:
    claims = {"iss": filled(iss, ISSUER=door.idp.issuer)}

    assert is_refusal(door.present(door.assertion(claims=claims)), 401, "`iss`")
    assert door.nothing_happened


@pytest.mark.parametrize("sub", [REMOVED, "another-client", "ISSUER", None])
def test_okta_endpoint_authentication_sub_is_our_client_id_there(door: RevocationDoor, sub: Any) -> None:
    claims = {"sub": filled(sub, ISSUER=door.idp.issuer)}

    assert is_refusal(door.present(door.assertion(claims=claims)), 401, "`sub`")
    assert door.nothing_happened


def test_okta_endpoint_authentication_a_saml_apps_iss_and_sub_are_those_configured(
    story: Story, clock: HandClock
) -> None:
    issuers = ["http://www.okta.com/exk1", "https://login.example.com"]
    door = RevocationDoor.open(
        story, clock, global_token_revocation_jwt_iss=issuers, global_token_revocation_jwt_sub="0oaInstance"
    )

    assert is_refusal(door.send(), 401, "`iss`")
    assert is_refusal(door.present(door.assertion(claims={"iss": issuers[0]})), 401, "`sub`")
    assert door.nothing_happened
    for iss in issuers:
        assert door.present(door.assertion(claims={"iss": iss, "sub": "0oaInstance"})).status_code == 204
    assert door.everything_is_dead


@pytest.mark.parametrize(
    "aud", [REMOVED, "URL/", "URL?tenant=1", "URL#", "CLIENT_ID", ["URL", "https://elsewhere.example.com"], [], None]
)
def test_rfc_7523_section_3_item_3_aud_is_this_endpoint_and_nothing_beside_it(door: RevocationDoor, aud: Any) -> None:
    claims = {"aud": filled(aud, URL=door.url, CLIENT_ID=door.connection.client_id)}

    assert is_refusal(door.present(door.assertion(claims=claims)), 401, "`aud`")
    assert door.nothing_happened


def test_rfc_7519_section_4_1_3_aud_may_be_a_list_of_one(door: RevocationDoor) -> None:
    assert door.present(door.assertion(claims={"aud": [door.url]})).status_code == 204


def test_okta_endpoint_authentication_aud_has_no_query_though_the_request_may(door: RevocationDoor) -> None:
    assert door.send_body({"sub_id": door.subject}, url=f"{door.url}?tenant=1").status_code == 204
    assert door.everything_is_dead


def test_rfc_8725_section_3_9_aud_is_what_was_configured_whatever_host_the_request_names(door: RevocationDoor) -> None:
    elsewhere = {"Host": "elsewhere.example.com", "X-Forwarded-Host": "elsewhere.example.com", "Forwarded": "host=x"}
    path = door.url.partition("/oauth/")[2]
    misled = door.assertion(claims={"aud": f"http://elsewhere.example.com/oauth/{path}"})

    assert is_refusal(door.send_body({"sub_id": door.subject}, assertion=misled, headers=elsewhere), 401, "`aud`")
    assert door.nothing_happened
    assert door.send_body({"sub_id": door.subject}, headers=elsewhere).status_code == 204


@pytest.mark.parametrize(
    ("iat", "exp", "nbf", "expected"),
    [
        (0, 300, -300, 204),  # Okta's own: 600 s from nbf to exp, and 300 of life
        (0, 300, None, 204),
        (60, 360, None, 204),
        (61, 300, None, 401),
        (-300, -59, None, 204),
        (-300, -60, None, 401),
        (0, 361, None, 401),
        (-100, 270, None, 401),
        (-601, -1, None, 401),
        (0, 300, 60, 204),
        (0, 300, 61, 401),
        (0, 10**9, None, 401),
    ],
)
def test_rfc_7523_section_3_items_4_to_6_the_assertion_is_fresh_and_its_life_counts_from_iat(
    door: RevocationDoor, iat: int, exp: int, nbf: int | None, expected: int
) -> None:
    now = door.clock.now_s
    times = {"iat": now + iat, "exp": now + exp, "nbf": REMOVED if nbf is None else now + nbf}

    assert door.present(door.assertion(claims=times)).status_code == expected
    assert door.everything_is_dead if expected == 204 else door.nothing_happened


@pytest.mark.parametrize("value", [REMOVED, None, True, "1800000000", [], -1])
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_rfc_7519_section_2_a_time_is_a_number_and_has_to_be_there(
    door: RevocationDoor, claim: str, value: object
) -> None:
    assert is_refusal(door.present(door.assertion(claims={claim: value})), 401, f"`{claim}`")
    assert door.nothing_happened


@pytest.mark.parametrize("written", ["NaN", "Infinity", "1e400"])
def test_rfc_7519_section_2_a_time_that_never_comes_is_no_time(door: RevocationDoor, written: str) -> None:
    claims = json.dumps(door.claims(exp="EXP")).replace('"EXP"', written).encode()
    token = tokens.signed(claims, key=door.idp.keys["ES256"], alg="ES256", header=door.idp.header("ES256"))

    assert is_refusal(door.present(token), 401)
    assert door.nothing_happened


@pytest.mark.parametrize("jti", [REMOVED, "", 7, None])
def test_okta_endpoint_authentication_jti_is_a_name(door: RevocationDoor, jti: object) -> None:
    assert is_refusal(door.present(door.assertion(claims={"jti": jti})), 401, "`jti`")
    assert door.nothing_happened


@pytest.mark.parametrize(
    "foreign", [{"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, {"nonce": "n-0S6_WzA2Mj"}]
)
def test_rfc_8725_section_3_12_a_token_with_claims_of_another_kind_is_401(
    door: RevocationDoor, foreign: dict[str, Any]
) -> None:
    assert is_refusal(door.present(door.assertion(claims=foreign)), 401, f"`{next(iter(foreign))}`")
    assert door.nothing_happened


# RFC 8725: signatures.


def test_rfc_8725_section_3_2_an_unsigned_assertion_is_401(door: RevocationDoor) -> None:
    for alg in ("none", "None", "NONE"):
        assert is_refusal(
            door.present(tokens.unsigned(door.claims(), header={**door.idp.header("ES256"), "alg": alg})), 401
        )
    assert is_refusal(door.present(tokens.unsigned(door.claims(), header=door.idp.header("ES256"))), 401)
    assert door.nothing_happened


def test_rfc_8725_section_2_1_a_public_key_is_no_shared_secret(door: RevocationDoor) -> None:
    key = door.idp.keys["RS256"]
    header = {**door.idp.header("RS256"), "alg": "HS256"}

    assert is_refusal(door.present(tokens.signed_with_public_key(door.claims(), key=key, header=header)), 401)
    assert door.nothing_happened


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_rfc_8725_section_3_8_another_issuers_key_is_401(door: RevocationDoor, alg: str) -> None:
    forged = tokens.signed(door.claims(), key=tokens.private_key(alg, 2), alg=alg, header=door.idp.header(alg))

    assert is_refusal(door.present(forged), 401)
    assert door.nothing_happened


def test_rfc_8725_section_3_1_an_algorithm_that_is_not_the_connections_is_401_though_its_key_is_published(
    story: Story, clock: HandClock
) -> None:
    door = RevocationDoor.open(story, clock, id_token_signed_response_alg="RS256")

    assert is_refusal(door.present(door.assertion(alg="ES256")), 401)
    assert door.nothing_happened
    assert door.present(door.assertion(alg="RS256")).status_code == 204


def test_rfc_8725_section_3_10_a_key_that_the_assertion_brings_along_is_never_used(door: RevocationDoor) -> None:
    own = tokens.private_key("ES256", 2)
    header = {**door.idp.header("ES256"), "jwk": tokens.public_jwk(own), "jku": f"{door.idp.origin}/elsewhere"}

    forged = tokens.signed(door.claims(), key=own, alg="ES256", header=header)

    assert is_refusal(door.present(forged), 401)
    assert door.nothing_happened


def test_rfc_7515_section_4_1_11_an_assertion_with_extensions_we_do_not_know_is_401(door: RevocationDoor) -> None:
    assert is_refusal(door.present(door.assertion(header={"crit": ["exp"]})), 401)
    assert door.nothing_happened


def test_rfc_7519_section_4_a_claim_twice_is_401(door: RevocationDoor) -> None:
    written = json.dumps(door.claims())
    twice = written[:-1] + f', "aud": "{door.url}"' + "}"
    token = tokens.signed(twice.encode(), key=door.idp.keys["ES256"], alg="ES256", header=door.idp.header("ES256"))

    assert is_refusal(door.present(token), 401)
    assert door.nothing_happened


# RFC 7523 section 3 item 7: replay. The assertion and the body are not bound to each other but by the `jti`.


def test_rfc_7523_section_3_item_7_the_same_request_again_is_the_same_answer_and_one_revocation(
    door: RevocationDoor,
) -> None:
    assertion = door.assertion()

    assert [door.present(assertion).status_code for _ in range(3)] == [204, 204, 204]
    assert len(door.story.server.revocations_of(door.session.user_id)) == 1


def test_rfc_7523_section_3_item_7_ten_at_once_are_one_revocation(door: RevocationDoor) -> None:
    assertion = door.assertion()

    with ThreadPoolExecutor(10) as callers:
        answers = list(callers.map(lambda _: door.present(assertion).status_code, range(10)))

    assert answers == [204] * 10
    assert len(door.story.server.revocations_of(door.session.user_id)) == 1


def test_rfc_7523_section_3_item_7_a_repeat_does_not_end_what_began_since(
    door: RevocationDoor, clock: HandClock
) -> None:
    assertion = door.assertion()
    assert door.present(assertion).status_code == 204
    clock.advance(2)
    again = door.story.sign_in(door.ada, door.connection, door.web, auth_time=clock.now_s)

    assert door.present(assertion).status_code == 204

    assert not door.story.is_over(again)


def test_rfc_7523_section_3_item_7_the_same_jti_with_another_body_is_401(door: RevocationDoor) -> None:
    # Captured while it was used for somebody else, or for nobody at all.
    story = door.story
    for first in (by_opaque("nobody"), by_email(sign_in_ben(door))):
        assertion = door.assertion()
        assert door.send(first, assertion=assertion).status_code in {204, 404}
        assert is_refusal(door.send(assertion=assertion), 401, "another body")
    assert door.nothing_happened
    assert story.server.is_active(door.online)


def test_rfc_7523_section_3_item_7_the_same_jti_in_a_new_token_is_the_same_message(door: RevocationDoor) -> None:
    claims = {"jti": "one-name"}

    assert door.present(door.assertion(claims=claims)).status_code == 204
    assert is_refusal(door.send(by_opaque("nobody"), assertion=door.assertion(claims=claims, alg="RS256")), 401)
    assert door.present(door.assertion(claims=claims, alg="RS256")).status_code == 204
    assert len(door.story.server.revocations_of(door.session.user_id)) == 1


def test_rfc_7523_section_3_item_7_one_providers_jti_does_not_use_up_anothers(story: Story, clock: HandClock) -> None:
    doors = [RevocationDoor.open(story, clock, name) for name in ("here", "there")]

    assert [each.present(each.assertion(claims={"jti": "1"})).status_code for each in doors] == [204, 204]


def test_rfc_7523_section_3_item_7_a_repeat_after_it_has_expired_is_401(door: RevocationDoor, clock: HandClock) -> None:
    assertion = door.assertion()
    assert door.present(assertion).status_code == 204
    clock.advance(359)
    assert door.present(assertion).status_code == 204
    clock.advance(1)
    assert is_refusal(door.present(assertion), 401, "`exp`")


def filled(value: Any, **names: str) -> Any:
    """`value` with capital names in it replaced."""
    if isinstance(value, list):
        return [filled(each, **names) for each in value]
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
    return value


def sign_in_ben(door: RevocationDoor) -> str:
    """Somebody else signs in; his e-mail address."""
    ben = door.story.person("ben")
    door.story.sign_in(ben, door.connection, door.web)
    return ben.email
