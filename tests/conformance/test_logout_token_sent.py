"""The logout tokens we send, held to OpenID Connect Back-Channel Logout 1.0 sections 2.4, 2.5 and 4, and RFC 8417.

They are what real applications received from both real processes in one story, told once for the module: Ada is signed in
to seven applications on two devices; one device's session is deleted; then her identity provider signs her out.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.dev import dev_stack
from tests.support.authorization_server import Application, AuthorizationServer, Receipt, Session, deliveries_by_client
from tests.support.identity_provider import IdentityProvider
from tests.support.relying_party import Answer, LogoutToken, Received, RelyingParties
from tests.support.story import Story, by_email

ISSUER = "https://login.example.com/tenant/"
"""Whose logout tokens they are: not our own address, as beside an authorization server that stands already."""

EVENT = "http://schemas.openid.net/event/backchannel-logout"

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story after it has been told."""

    by_algorithm: dict[str, Application]
    by_sid: Application
    flaky: Application
    pairwise: Application
    laptop: Session
    phone: Session
    jwks: dict[str, Any]
    receipt: Receipt
    started_s: int
    ended_s: int

    @property
    def applications(self) -> list[Application]:
        """All of them."""
        return [*self.by_algorithm.values(), self.by_sid, self.flaky, self.pairwise]

    @property
    def received(self) -> list[tuple[Application, Received]]:
        """Every request any of them received."""
        return [(each, request) for each in self.applications for request in each.party.received]

    @property
    def tokens(self) -> list[tuple[Application, LogoutToken]]:
        """Every logout token."""
        return [(each, request.token) for each, request in self.received]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("logout-token")
    settings = {"LOGOUTD_ISSUER": ISSUER}
    with (
        dev_stack(port=0, data_dir=folder / "data", log_to=folder / "log.jsonl", environment=settings) as stack,
        IdentityProvider.in_thread() as idp,
        RelyingParties.running() as parties,
        (server := AuthorizationServer(stack.url, stack.admin_token)).http,
    ):
        yield tell(Story(server=server, idp=idp, parties=parties))


def tell(story: Story) -> Told:
    server = story.server
    started_s = int(time.time())
    by_algorithm = {alg: story.application(alg.lower(), id_token_signed_response_alg=alg) for alg in ALGORITHMS}
    by_sid = story.application("by-sid", backchannel_logout_session_required=True)
    again = [Answer(status=503, headers={"Retry-After": str(seconds)}) for seconds in (1, 0)]
    flaky, pairwise = story.application("flaky", *again), story.application("pairwise")
    applications = [*by_algorithm.values(), by_sid, flaky, pairwise]
    connection = story.connection(*applications)
    ada = story.person("ada")
    names = {pairwise.client_id: {"sub": "known-here-as-7", "sid": "session-here-1"}}
    laptop = story.sign_in(ada, connection, *applications, names=names)
    tablet, phone = (story.sign_in(ada, connection, by_sid, *by_algorithm.values()) for _ in range(2))
    deleted = server.ask("DELETE", f"/api/v2/sessions/{phone.session_id}", expect=202)
    server.wait_for_receipt(deleted["revocation_id"])
    assert story.revoke(connection, by_email(ada.email)).status_code == 204
    receipt = server.wait_for_receipt(server.revocations_of(laptop.user_id)[0]["revocation_id"])
    assert tablet.user_id == laptop.user_id
    return Told(
        by_algorithm=by_algorithm,
        by_sid=by_sid,
        flaky=flaky,
        pairwise=pairwise,
        laptop=laptop,
        phone=phone,
        jwks=server.http.get("/.well-known/jwks.json").json(),
        receipt=receipt,
        started_s=started_s,
        ended_s=int(time.time()),
    )


def of_session(told: Told, tokens: list[LogoutToken]) -> list[LogoutToken]:
    """Those sent because one session was deleted."""
    return [each for each in tokens if each.claims.get("sid") == told.phone.session_id]


def of_person(told: Told, tokens: list[LogoutToken]) -> list[LogoutToken]:
    """Those sent because the person was signed out."""
    return [each for each in tokens if each.claims.get("sid") != told.phone.session_id]


# Section 2.4, "Logout Token".


def test_section_2_4_the_claims_are_these_and_no_others(told: Told) -> None:
    ordinary = {"iss", "aud", "iat", "exp", "jti", "events", "sub", "txn"}
    for application, token in told.tokens:
        with_sid = application is told.by_sid or token.claims.get("sid") == told.phone.session_id
        assert set(token.claims) == (ordinary | {"sid"} if with_sid else ordinary)


def test_section_2_4_iss_is_the_configured_issuer_to_the_letter(told: Told) -> None:
    assert {token.claims["iss"] for _, token in told.tokens} == {ISSUER}


def test_section_2_4_aud_is_the_one_application_it_is_sent_to(told: Told) -> None:
    for application, token in told.tokens:
        assert token.claims["aud"] == application.client_id


def test_section_2_4_iat_is_the_moment_of_sending_in_whole_seconds(told: Told) -> None:
    for _, request in told.received:
        iat = request.token.claims["iat"]
        assert type(iat) is int
        assert told.started_s <= iat <= request.at_ms / 1000
        assert request.at_ms / 1000 - iat < 10


def test_section_4_exp_is_two_minutes_later(told: Told) -> None:
    for _, token in told.tokens:
        assert type(token.claims["exp"]) is int
        assert token.claims["exp"] - token.claims["iat"] == 120


def test_section_2_4_events_is_the_back_channel_logout_event_alone_with_an_empty_object(told: Told) -> None:
    assert EVENT.startswith("http://"), "the one URI of its family with this scheme"
    for _, token in told.tokens:
        assert token.claims["events"] == {EVENT: {}}


def test_section_2_4_there_is_never_a_nonce(told: Told) -> None:
    for _, token in told.tokens:
        assert "nonce" not in token.claims
        assert "nonce" not in token.header


def test_section_2_4_jti_is_another_one_in_every_token(told: Told) -> None:
    names = [token.claims["jti"] for _, token in told.tokens]
    assert len(set(names)) == len(names)
    assert all(isinstance(each, str) and len(each) >= 16 for each in names)


def test_section_2_4_a_person_is_signed_out_by_a_token_with_sub_alone(told: Told) -> None:
    for application in (*told.by_algorithm.values(), told.flaky):
        tokens = of_person(told, application.party.tokens)
        assert {(each.claims["sub"], each.claims.get("sid")) for each in tokens} == {(told.laptop.user_id, None)}


def test_section_2_4_sub_is_the_one_in_that_applications_id_token(told: Told) -> None:
    (token,) = told.pairwise.party.tokens
    assert (token.claims["sub"], token.claims.get("sid")) == ("known-here-as-7", None)


def test_section_2_4_a_session_is_ended_by_a_token_with_its_sub_and_sid(told: Told) -> None:
    for application in (*told.by_algorithm.values(), told.by_sid):
        (token,) = of_session(told, application.party.tokens)
        assert (token.claims["sub"], token.claims["sid"]) == (told.phone.user_id, told.phone.session_id)


def test_section_2_2_who_requires_sid_gets_one_token_for_each_session_left(told: Told) -> None:
    tokens = of_person(told, told.by_sid.party.tokens)
    sids = [each.claims["sid"] for each in tokens]
    assert len(sids) == 2
    assert told.laptop.session_id in sids
    assert {each.claims["sub"] for each in tokens} == {told.laptop.user_id}


def test_section_2_4_typ_is_logout_jwt_and_the_header_has_nothing_but_what_it_needs(told: Told) -> None:
    for _, token in told.tokens:
        assert set(token.header) == {"typ", "alg", "kid"}
        assert token.header["typ"] == "logout+jwt"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_section_2_4_the_algorithm_is_that_of_the_applications_id_tokens(told: Told, alg: str) -> None:
    tokens = told.by_algorithm[alg].party.tokens
    assert len(tokens) == 2
    assert {each.header["alg"] for each in tokens} == {alg}


def test_section_2_4_rs256_where_nothing_was_registered(told: Told) -> None:
    for application in (told.by_sid, told.flaky, told.pairwise):
        assert {each.header["alg"] for each in application.party.tokens} == {"RS256"}


def test_section_2_4_each_is_signed_by_the_published_key_it_names(told: Told) -> None:
    for _, token in told.tokens:
        assert token.is_signed_by(told.jwks)
        spoilt = LogoutToken.read(token.text[:-8] + ("AAAAAAAA" if token.text[-8:] != "AAAAAAAA" else "BBBBBBBB"))
        assert not spoilt.is_signed_by(told.jwks)


def test_rfc_7517_the_published_keys_are_public(told: Told) -> None:
    assert {each["alg"] for each in told.jwks["keys"]} == set(ALGORITHMS)
    for key in told.jwks["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)


# Section 2.5, "Back-Channel Logout Request".


def test_section_2_5_it_is_a_post_to_the_registered_uri_with_its_query(told: Told) -> None:
    for _, request in told.received:
        assert (request.method, request.target) == ("POST", "/oidc/backchannel-logout?tenant=7")


def test_section_2_5_the_body_is_a_form_with_logout_token_alone(told: Told) -> None:
    for _, request in told.received:
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        assert [name for name, _ in request.form] == ["logout_token"]
        assert request.body == f"logout_token={request.token.text}".encode()
        assert int(request.headers["content-length"]) == len(request.body)


def test_section_2_5_nothing_else_is_given_away_in_the_request(told: Told) -> None:
    for _, request in told.received:
        assert not {"authorization", "cookie", "referer", "proxy-authorization"} & set(request.headers)
        assert request.headers["user-agent"] == "logoutd"


def test_section_2_5_a_retransmission_is_a_new_token_about_the_same_thing(told: Told) -> None:
    attempts = told.flaky.party.received
    assert len(attempts) == 3
    tokens = [each.token for each in attempts]
    fresh = {"jti", "iat", "exp"}
    first, *later = ({name: value for name, value in each.claims.items() if name not in fresh} for each in tokens)
    assert [each == first for each in later] == [True, True]
    assert len({each.claims["jti"] for each in tokens}) == len({each.text for each in tokens}) == 3
    # The first answer asked for a second's pause, so its successor is a second younger; each is valid when it arrives.
    assert tokens[1].claims["iat"] > tokens[0].claims["iat"]
    for request in attempts:
        assert request.token.claims["iat"] <= request.at_ms / 1000 < request.token.claims["exp"]


# RFC 8417 section 2.2: `txn` names what several security event tokens have in common.


def test_rfc_8417_section_2_2_txn_is_the_delivery_and_the_same_over_its_attempts(told: Told) -> None:
    rows = deliveries_by_client(told.receipt)
    for application in told.applications:
        tokens = of_person(told, application.party.tokens)
        assert {each.claims["txn"] for each in tokens} == {each["delivery_id"] for each in rows[application.client_id]}
    (delivery,) = rows[told.flaky.client_id]
    assert [each["status"] for each in delivery["attempts"]] == [503, 503, 200]
    assert [each.claims["txn"] for each in told.flaky.party.tokens] == [delivery["delivery_id"]] * 3


def test_rfc_8417_section_2_2_no_two_deliveries_share_a_txn(told: Told) -> None:
    by_txn: dict[str, set[tuple[str, str | None]]] = {}
    for application, token in told.tokens:
        by_txn.setdefault(token.claims["txn"], set()).add((application.client_id, token.claims.get("sid")))
    assert all(len(each) == 1 for each in by_txn.values())
    assert len(by_txn) == 4 * 2 + 3 + 1 + 1
