"""Keys that were configured with a connection: found without a fetch, by whatever a token's header says or leaves out."""

import json
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from service.errors import InvalidRequest
from service.verify.certificates import read_certificate
from service.verify.issuer_keys import IssuerKeys
from service.verify.key_set import MAX_KEYS_READ, MAX_KEYS_TRIED
from service.verify.pinned_keys import public_jwks
from tests.support import tokens
from tests.support.assertion_door import AUDIENCE, Door
from tests.support.certificates import signing_certificate
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider
from tests.support.tokens import kids

DAY = 86_400


def certificate(clock: HandClock, alg: str, number: int = 1, *, begins: int = -DAY, ends: int = DAY) -> str:
    """A certificate of one of the process's keys; its dates in seconds from now."""
    key = tokens.private_key(alg, number)
    return read_certificate(signing_certificate(key, begins_s=clock.now_s + begins, ends_s=clock.now_s + ends)).pem


def inline(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


def jwk(alg: str, number: int = 1, /, **changes: Any) -> dict[str, Any]:
    """A public key as a JWKS holds it; `changes` lay over it."""
    return tokens.overridden(tokens.public_jwk(tokens.private_key(alg, number)), changes)


# No fetch, ever.


@pytest.mark.parametrize("source", ["jwks", "signing_certificates"])
async def test_pinned_keys_need_no_provider_that_can_be_reached(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, source: str
) -> None:
    pinned = {
        "jwks": {"jwks": inline(jwk("ES256"))},
        "signing_certificates": {"signing_certificates": (certificate(clock, "ES256"),)},
    }[source]
    idp.broken = {"keys", "discovery"}
    connection = idp.connection(jwks_uri=None, **pinned)
    assert kids(await keys.candidates(connection, alg="ES256", kid=None)) == ["es256-1"]
    assert await keys.candidates(connection, alg="RS256", kid=None) == ()
    assert await keys.candidates_after_bad_signature(connection, alg="ES256") == ()
    assert await keys.prime(connection) == 1
    assert idp.fetches == {}


async def test_where_keys_are_pinned_published_ones_are_none_of_its(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection(signing_certificates=(certificate(clock, "RS256", 2),))
    await keys.candidates(idp.connection(), alg="RS256", kid="rs256-1")
    assert kids(await keys.candidates(connection, alg="RS256", kid="rs256-1")) == ["rs256-2"]
    assert await keys.candidates(connection, alg="ES256", kid="es256-1") == ()


# Certificates.


@pytest.mark.parametrize("kid", [None, "rs256-1", "anything", "\ud800"])
async def test_a_tokens_kid_rules_no_certificate_out_for_they_have_none(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, kid: str | None
) -> None:
    pair = (certificate(clock, "RS256", 1), certificate(clock, "RS256", 2))
    connection = idp.connection(signing_certificates=pair)
    assert kids(await keys.candidates(connection, alg="RS256", kid=kid)) == ["rs256-1", "rs256-2"]


@pytest.mark.parametrize("which", [0, 1])
async def test_a_thumbprint_names_one_certificate_and_an_unknown_one_rules_none_out(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, which: int
) -> None:
    pair = (certificate(clock, "RS256", 1), certificate(clock, "RS256", 2))
    connection = idp.connection(signing_certificates=pair)
    for thumbprint in read_certificate(pair[which]).thumbprints:
        found = await keys.candidates(connection, alg="RS256", kid=None, thumbprints=frozenset({thumbprint}))
        assert kids(found) == [f"rs256-{which + 1}"]
    found = await keys.candidates(connection, alg="RS256", kid=None, thumbprints=frozenset({"AAAA"}))
    assert kids(found) == ["rs256-1", "rs256-2"]


async def test_a_certificate_counts_between_its_dates_and_the_others_are_not_touched_by_its_end(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    old = certificate(clock, "RS256", 1, ends=DAY)
    new = certificate(clock, "RS256", 2, begins=DAY // 2, ends=3 * DAY)
    connection = idp.connection(signing_certificates=(old, new))

    async def valid() -> list[str | None]:
        found = kids(await keys.candidates(connection, alg="RS256", kid=None))
        assert len(found) == await keys.prime(connection)
        return found

    assert await valid() == ["rs256-1"]
    clock.advance(DAY / 2)
    assert await valid() == ["rs256-1", "rs256-2"]
    clock.advance(DAY / 2 + 1)
    assert await valid() == ["rs256-2"]
    clock.advance(3 * DAY)
    assert await valid() == []


async def test_priming_counts_the_certificates_that_fit_the_connections_algorithms(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    pair = (certificate(clock, "RS256"), certificate(clock, "ES256"))
    assert await keys.prime(idp.connection(signing_certificates=pair)) == 2
    assert await keys.prime(idp.connection(signing_certificates=pair, id_token_signed_response_alg="PS256")) == 1
    assert await keys.prime(idp.connection(signing_certificates=pair, id_token_signed_response_alg="EdDSA")) == 0


async def test_a_certificate_the_record_holds_and_nobody_can_read_verifies_nothing_and_breaks_nothing(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock
) -> None:
    connection = idp.connection(signing_certificates=("garbage", certificate(clock, "ES256")))
    assert kids(await keys.candidates(connection, alg="ES256", kid=None)) == ["es256-1"]
    for unreadable in ("{", "[]", '{"keys":7}'):
        assert await keys.candidates(idp.connection(jwks=unreadable), alg="ES256", kid=None) == ()


# An inline JWK Set.


async def test_a_kid_chooses_in_an_inline_set_and_a_key_without_one_is_tried_with_any(
    idp: IdentityProvider, keys: IssuerKeys
) -> None:
    connection = idp.connection(jwks=inline(jwk("RS256"), jwk("RS256", 2)))
    assert kids(await keys.candidates(connection, alg="RS256", kid="rs256-2")) == ["rs256-2"]
    assert kids(await keys.candidates(connection, alg="RS256", kid=None)) == ["rs256-1", "rs256-2"]
    assert await keys.candidates(connection, alg="RS256", kid="other") == ()
    nameless = idp.connection(jwks=inline(jwk("RS256"), jwk("RS256", 2, kid=tokens.REMOVED)))
    assert kids(await keys.candidates(nameless, alg="RS256", kid="other")) == ["rs256-2"]


async def test_keys_for_another_use_or_algorithm_are_not_tried(idp: IdentityProvider, keys: IssuerKeys) -> None:
    connection = idp.connection(jwks=inline(jwk("RS256", use="enc"), jwk("RS256", 2, alg="PS256")))
    assert await keys.candidates(connection, alg="RS256", kid=None) == ()
    assert kids(await keys.candidates(connection, alg="PS256", kid=None)) == ["rs256-2"]


async def test_keys_tried_are_bounded(idp: IdentityProvider, keys: IssuerKeys) -> None:
    connection = idp.connection(jwks=inline(*([jwk("ES256", kid=tokens.REMOVED)] * (MAX_KEYS_TRIED + 1))))
    assert len(await keys.candidates(connection, alg="ES256", kid="any")) == MAX_KEYS_TRIED


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_only_public_members_of_a_set_are_kept(alg: str) -> None:
    public = jwk(alg)
    kept = public_jwks({"keys": [{**public, "d": None, "x5c": ["MIIB"], "note": "d"}], "note": 1})
    assert kept == {"keys": [{name: public[name] for name in kept["keys"][0]}]}
    assert set(public) - set(kept["keys"][0]) == set()


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_is_refused_wherever_it_stands_and_nothing_of_it_repeated(alg: str) -> None:
    private = dict(tokens.private_key(alg).as_dict(private=True))
    public = jwk(alg)
    secret = {name: value for name, value in private.items() if name not in public}
    assert secret
    for name, value in secret.items():
        with pytest.raises(InvalidRequest, match=f"key 2 has `{name}`") as refused:
            public_jwks({"keys": [public, {**public, name: value}]})
        assert str(value) not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "naming"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "has `k`"),
        ({"kty": "oct"}, "symmetric"),
        ({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA", "priv": "AA"}, "has `priv`"),
    ],
)
def test_a_shared_secret_is_refused(key: dict[str, str], naming: str) -> None:
    with pytest.raises(InvalidRequest, match=naming):
        public_jwks({"keys": [key]})


@pytest.mark.parametrize(
    "document",
    [None, [], "keys", {}, {"keys": None}, {"keys": {}}, {"keys": ["a"]}, {"keys": [{}, []]},
     {"kty": "RSA", "d": "AQAB"}, {"keys": [{}] * (MAX_KEYS_READ + 1)}],
)  # fmt: skip
def test_what_is_no_set_of_keys_is_refused(document: object) -> None:
    with pytest.raises(InvalidRequest, match=r"must be a JWK Set|at most 100"):
        public_jwks(document)


# What a token's header may say.


@pytest.fixture
def pinned(door: Door) -> dict[str, Any]:
    """The options of a connection that pins the provider's own RS256 certificate, and another beside it."""
    pair = (certificate(door.clock, "RS256", 7), certificate(door.clock, "RS256", 1))
    return {"jwks_uri": None, "signing_certificates": pair}


@pytest.mark.parametrize("kid", [tokens.REMOVED, "rs256-1", "whatever"])
def test_an_assertion_is_verified_whatever_kid_it_names(door: Door, pinned: dict[str, Any], kid: object) -> None:
    assert door.accepts(door.assertion(alg="RS256", header={"kid": kid}), **pinned).iss == door.idp.issuer


@pytest.mark.parametrize("thumbprint", ["", "AAAA", "\xe9"])
def test_a_thumbprint_that_names_nothing_we_pinned_is_only_a_hint(
    door: Door, pinned: dict[str, Any], thumbprint: object
) -> None:
    for member in ("x5t", "x5t#S256"):
        door.accepts(door.assertion(alg="RS256", header={member: thumbprint}), **pinned)


@pytest.mark.parametrize("thumbprint", [None, 7, ["AAAA"]])
def test_a_thumbprint_that_is_no_string_makes_the_token_none(
    door: Door, pinned: dict[str, Any], thumbprint: object
) -> None:
    for member in ("x5t", "x5t#S256"):
        refused = door.refuses(door.assertion(alg="RS256", header={member: thumbprint}), **pinned)
        assert refused.reason == "malformed_token"


def test_an_assertion_signed_by_another_certificate_than_its_thumbprint_names_is_refused(
    door: Door, pinned: dict[str, Any]
) -> None:
    other, own = (read_certificate(each).thumbprints for each in pinned["signing_certificates"])
    for thumbprint in own:
        door.accepts(door.assertion(alg="RS256", header={"x5t": thumbprint}), **pinned)
    for thumbprint in other:
        refused = door.refuses(door.assertion(alg="RS256", header={"x5t#S256": thumbprint}), **pinned)
        assert refused.reason == "bad_signature"


def test_a_certificate_the_assertion_brings_along_is_never_used(door: Door, pinned: dict[str, Any]) -> None:
    stranger = RSAKey.generate_key(2048)
    pem = signing_certificate(stranger, begins_s=door.now - DAY, ends_s=door.now + DAY)
    chain = ["".join(pem.splitlines()[1:-1])]
    own = read_certificate(pem).thumbprints
    for brought in ({"x5c": chain}, {"x5c": chain, "x5t": min(own)}, {"x5u": "https://example.com/c", "x5c": chain}):
        header = {"typ": "global-token-revocation+jwt", "alg": "RS256", **brought}
        token = tokens.signed(door.claims(), key=stranger, alg="RS256", header=header)
        assert door.refuses(token, **pinned).reason == "bad_signature"


def test_once_no_certificate_is_valid_the_refusal_says_so_to_us_and_nothing_to_the_caller(
    door: Door, pinned: dict[str, Any]
) -> None:
    expired = (certificate(door.clock, "RS256", begins=-2 * DAY, ends=-1),)
    refused = door.refuses(door.assertion(alg="RS256"), **{**pinned, "signing_certificates": expired})
    wrong = door.refuses(door.assertion(alg="ES256"), **pinned)
    assert (refused.reason, wrong.reason) == ("no_valid_certificate", "no_valid_certificate")
    unknown = door.refuses(door.assertion(alg="RS256", header={"kid": "nobody"}))
    assert str(refused) == str(wrong) == str(unknown)
    assert AUDIENCE not in str(refused)
