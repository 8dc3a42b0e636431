"""Universal Logout of a SAML application, clause by clause: assertions signed with the application's own certificate.

`okta`: the Universal Logout guide ("the key that signs the SAML assertions"; `sub` is the application's instance id);
`auth0`: its page on Universal Logout, which expects the identity provider's entity id as `iss`; RFC 5280 for a
certificate's dates, 7515 for a header that names certificates, 7517 for an inline set, 7523 and 8725 for the JWT. The
service stands here without a worker, and no identity provider can be reached.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from service.verify.certificates import read_certificate
from tests.support import tokens
from tests.support.certificates import signing_certificate
from tests.support.clock import HandClock
from tests.support.identity_provider import NOTHING, IdentityProvider
from tests.support.lone_service import clock, parties, server, story
from tests.support.revocation_door import RevocationDoor, is_refusal
from tests.support.story import Story
from tests.support.tokens import REMOVED, PrivateKey

__all__ = ["clock", "parties", "server", "story"]

DAY = 86_400

ENTITY_ID = "http://www.okta.com/exk1b2c3d4"
"""What a SAML identity provider of Okta calls itself: plain http, and nothing answers there."""

ORG_URL = "https://acme.okta.com"
"""What Okta's guide says `iss` is."""

INSTANCE_ID = "0oa1b2c3d4"
"""The application's instance id."""

OLD, NEW, STRANGERS = 11, 12, 13
"""Numbers of signing keys: the one in use, the one that takes over, one of another application."""


@pytest.fixture(scope="module")
def idp() -> Iterator[IdentityProvider]:
    """One that answers nothing but errors, and counts who asks."""
    with IdentityProvider.in_thread() as provider:
        provider.broken = {"discovery", "keys"}
        yield provider


@dataclass(frozen=True, slots=True, kw_only=True)
class SamlDoor:
    """The door of a SAML application, with Ada behind it."""

    door: RevocationDoor
    clock: HandClock

    @classmethod
    def open(cls, story: Story, clock: HandClock, **options: Any) -> "SamlDoor":
        """A connection as deploy/okta/README.md makes it, with these options laid over."""
        ordinary = {
            "discovery_url": None,
            "issuer": ENTITY_ID,
            "authorization_endpoint": f"{ORG_URL}/app/acme_shop/exk1b2c3d4/sso/saml",
            "client_id": INSTANCE_ID,
        }
        return cls(door=RevocationDoor.open(story, clock, "saml", **{**ordinary, **options}), clock=clock)

    def present(
        self,
        number: int = OLD,
        *,
        key: PrivateKey | None = None,
        alg: str = "RS256",
        claims: Mapping[str, Any] = NOTHING,
        header: Mapping[str, Any] = NOTHING,
    ) -> httpx.Response:
        """A request about Ada, its assertion signed by the key of this number unless another is given."""
        payload = {**self.door.claims(iss=ENTITY_ID, sub=INSTANCE_ID), **claims}
        named = tokens.overridden({"typ": "global-token-revocation+jwt", "alg": alg}, header)
        token = tokens.signed(payload, header=named, key=key or tokens.private_key(alg, number), alg=alg)
        return self.door.present(token)

    def takes(self, answer: httpx.Response) -> bool:
        """Whether it was believed, and Ada is signed out."""
        assert answer.status_code == 204, answer.text
        return self.door.everything_is_dead

    def refuses(self, answer: httpx.Response, naming: str = "") -> bool:
        """Whether it was not, and Ada is not."""
        return is_refusal(answer, 401, naming) and self.door.nothing_happened

    def outcomes(self, reason: str) -> int:
        """How many requests to this kind of door ended so."""
        metrics = self.door.story.server.http.get("/metrics").text
        name = f'logoutd_door_requests_total{{door="global_token_revocation",outcome="{reason}"}} '
        return sum(int(float(line.removeprefix(name))) for line in metrics.splitlines() if line.startswith(name))


def certificate(clock: HandClock, number: int, alg: str = "RS256", *, begins: int = -DAY, ends: int = 90 * DAY) -> str:
    """A self-signed certificate as it is downloaded; its dates in seconds from now."""
    key = tokens.private_key(alg, number)
    return signing_certificate(key, begins_s=clock.now_s + begins, ends_s=clock.now_s + ends)


@pytest.fixture
def rollover(story: Story, clock: HandClock) -> SamlDoor:
    """A connection in the middle of a rollover: two certificates are pinned."""
    pair = [certificate(clock, OLD), certificate(clock, NEW)]
    return SamlDoor.open(story, clock, signing_certificates=pair)


# Who signs.


@pytest.mark.parametrize("number", [OLD, NEW])
def test_okta_endpoint_authentication_signed_with_either_certificate_of_a_rollover(
    rollover: SamlDoor, idp: IdentityProvider, number: int
) -> None:
    assert rollover.takes(rollover.present(number))
    assert idp.fetches == {}


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_okta_endpoint_authentication_alg_is_whatever_the_certificates_key_takes(
    story: Story, clock: HandClock, alg: str
) -> None:
    door = SamlDoor.open(story, clock, signing_certificates=[certificate(clock, OLD, alg)])
    assert door.takes(door.present(alg=alg))


@pytest.mark.parametrize("kid", ["", "rs256-11", "MHxs2mKb", "../../certificates"])
@pytest.mark.parametrize("number", [OLD, NEW])
def test_okta_endpoint_authentication_a_kid_no_certificate_can_have_locks_none_out(
    rollover: SamlDoor, number: int, kid: str
) -> None:
    assert rollover.takes(rollover.present(number, header={"kid": kid}))


def test_rfc_8725_section_3_8_another_applications_certificate_is_401(rollover: SamlDoor) -> None:
    assert rollover.refuses(rollover.present(STRANGERS))
    assert rollover.refuses(rollover.present(alg="ES256"))


def test_rfc_8725_section_3_1_an_algorithm_that_is_not_the_connections_is_401_though_the_key_would_take_it(
    story: Story, clock: HandClock
) -> None:
    door = SamlDoor.open(
        story, clock, signing_certificates=[certificate(clock, OLD)], id_token_signed_response_alg="RS256"
    )
    key = tokens.private_key("RS256", OLD)
    assert door.refuses(door.present(alg="PS256", key=key))
    assert door.takes(door.present(key=key))


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_rfc_8725_section_2_1_a_certificate_is_no_shared_secret(rollover: SamlDoor, alg: str) -> None:
    claims = rollover.door.claims(iss=ENTITY_ID, sub=INSTANCE_ID)
    header = {"typ": "global-token-revocation+jwt", "alg": alg}
    key = tokens.private_key("RS256", OLD)
    forged = {
        "none": tokens.unsigned(claims, header=header),
        "HS256": tokens.signed_with_public_key(claims, key=key, header=header),
    }
    assert rollover.refuses(rollover.door.present(forged[alg]))


# Certificates in the header.


def test_rfc_8725_section_3_10_a_certificate_the_assertion_brings_along_is_never_trusted(
    rollover: SamlDoor, clock: HandClock
) -> None:
    pem = certificate(clock, STRANGERS)
    chain = ["".join(pem.splitlines()[1:-1])]
    names = [{"x5t": each} for each in read_certificate(pem).thumbprints]
    brought: list[dict[str, Any]] = [{"x5c": chain}, {"x5u": f"{rollover.door.idp.base_url}/certificate.pem"}]
    brought += [{**each, "x5c": chain} for each in names]
    for header in (*brought, {"jwk": tokens.public_jwk(tokens.private_key("RS256", STRANGERS))}):
        assert rollover.refuses(rollover.present(STRANGERS, header=header))
        assert rollover.refuses(rollover.present(STRANGERS, header={**header, "kid": "rs256-11"}))
    assert rollover.takes(rollover.present(OLD, header={"x5c": chain}))


@pytest.mark.parametrize("member", ["x5t", "x5t#S256"])
def test_rfc_7515_sections_4_1_7_and_4_1_8_a_thumbprint_chooses_among_the_pinned_certificates(
    story: Story, clock: HandClock, member: str
) -> None:
    old, new = certificate(clock, OLD), certificate(clock, NEW)
    length = {"x5t": 27, "x5t#S256": 43}[member]
    (name,) = [each for each in read_certificate(new).thumbprints if len(each) == length]
    door = SamlDoor.open(story, clock, signing_certificates=[old, new])
    assert door.refuses(door.present(OLD, header={member: name}))
    assert door.takes(door.present(NEW, header={member: name}))


@pytest.mark.parametrize("member", ["x5t", "x5t#S256"])
def test_rfc_7515_sections_4_1_7_and_4_1_8_a_thumbprint_of_something_else_is_no_more_than_a_hint(
    rollover: SamlDoor, member: str
) -> None:
    assert rollover.refuses(rollover.present(STRANGERS, header={member: "AAAA"}))
    assert rollover.takes(rollover.present(NEW, header={member: "AAAA"}))


# A certificate's dates.


def test_rfc_5280_section_4_1_2_5_an_expired_certificate_verifies_nothing_and_its_successor_does(
    story: Story, clock: HandClock
) -> None:
    pair = [certificate(clock, OLD, ends=DAY), certificate(clock, NEW)]
    door = SamlDoor.open(story, clock, signing_certificates=pair)
    clock.advance(DAY + 1)
    assert door.refuses(door.present(OLD))
    assert door.takes(door.present(NEW))


def test_rfc_5280_section_4_1_2_5_with_none_left_the_refusal_is_counted_by_its_reason(
    story: Story, clock: HandClock
) -> None:
    door = SamlDoor.open(story, clock, signing_certificates=[certificate(clock, OLD, ends=DAY)])
    clock.advance(DAY + 1)
    before = door.outcomes("no_valid_certificate")
    assert door.refuses(door.present(OLD))
    assert door.outcomes("no_valid_certificate") == before + 1


def test_rfc_5280_section_4_1_2_5_a_certificate_made_for_later_counts_from_then_on(
    story: Story, clock: HandClock
) -> None:
    pair = [certificate(clock, OLD), certificate(clock, NEW, begins=DAY)]
    door = SamlDoor.open(story, clock, signing_certificates=pair)
    assert door.refuses(door.present(NEW))
    clock.advance(DAY)
    assert door.takes(door.present(NEW))


# Who calls.


def test_auth0_iss_is_the_entity_id_and_sub_the_instance_id_beside_another_issuer_and_client_id(
    story: Story, clock: HandClock
) -> None:
    door = SamlDoor.open(
        story,
        clock,
        issuer=ORG_URL,
        client_id="acme-shop",
        global_token_revocation_jwt_iss=ENTITY_ID,
        global_token_revocation_jwt_sub=INSTANCE_ID,
        signing_certificates=[certificate(clock, OLD)],
    )
    assert door.refuses(door.present(claims={"iss": ORG_URL}), "`iss`")
    assert door.refuses(door.present(claims={"sub": "acme-shop"}), "`sub`")
    assert door.takes(door.present())


@pytest.mark.parametrize("iss", [ENTITY_ID, ORG_URL, "https://login.acme.example/"])
def test_okta_endpoint_authentication_iss_is_any_of_those_configured(story: Story, clock: HandClock, iss: str) -> None:
    several = [ENTITY_ID, ORG_URL, "https://login.acme.example/"]
    door = SamlDoor.open(
        story,
        clock,
        issuer="urn:acme:idp",
        global_token_revocation_jwt_iss=several,
        signing_certificates=[certificate(clock, OLD)],
    )
    # The issuer counts no longer where others are configured.
    for other in (f"{ORG_URL}/", "https://login.acme.example", "urn:acme:idp", several):
        assert door.refuses(door.present(claims={"iss": other}), "`iss`")
    assert door.takes(door.present(claims={"iss": iss}))


@pytest.mark.parametrize(
    "iss",
    [
        ENTITY_ID + "/",
        ENTITY_ID.replace("http:", "https:"),
        ENTITY_ID.replace("www.", ""),
        ENTITY_ID.replace("okta", "Okta"),
        ENTITY_ID.upper(),
        ENTITY_ID[:-1],
        f" {ENTITY_ID}",
        "",
        None,
        [ENTITY_ID],
    ],
)
def test_rfc_7523_section_3_item_1_an_entity_id_compares_character_by_character(rollover: SamlDoor, iss: Any) -> None:
    assert rollover.refuses(rollover.present(claims={"iss": iss}), "`iss`")


@pytest.mark.parametrize("sub", ["0oa1b2c3d5", INSTANCE_ID.upper(), ENTITY_ID, "", None, [INSTANCE_ID]])
def test_okta_endpoint_authentication_sub_is_this_applications_instance_id(rollover: SamlDoor, sub: Any) -> None:
    assert rollover.refuses(rollover.present(claims={"sub": sub}), "`sub`")


# An inline set.


@pytest.mark.parametrize("kid", [REMOVED, "rs256-11"])
def test_rfc_7517_section_5_an_inline_set_verifies_what_its_keys_signed_and_nothing_else(
    story: Story, clock: HandClock, idp: IdentityProvider, kid: object
) -> None:
    jwks = {"keys": [tokens.public_jwk(tokens.private_key("RS256", OLD))]}
    door = SamlDoor.open(story, clock, jwks=jwks)
    assert door.refuses(door.present(STRANGERS, header={"kid": kid}))
    assert door.refuses(door.present(OLD, header={"kid": "another"}))
    assert door.takes(door.present(OLD, header={"kid": kid}))
    assert idp.fetches == {}
