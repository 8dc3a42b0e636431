"""The assertion of a Global Token Revocation request: one section per step of `verify_caller_assertion`."""

import asyncio
import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.connection import SIGNING_ALGORITHMS, Connection
from service.errors import NotAuthenticated, Unavailable
from service.outbound import open_outbound
from service.telemetry import Numbers
from service.verify.caller_assertion import VerifiedCaller, verify_caller_assertion
from service.verify.issuer_keys import IssuerKeys
from tests.support import tokens
from tests.support.clock import HandClock
from tests.support.identity_provider import CLIENT_ID, IdentityProvider
from tests.support.tokens import REMOVED

AUDIENCE = "https://logout.example.com/oauth/global-token-revocation/connection/okta"


class Door:
    """What stands before the verification: a connection to an identity provider, its keys, a clock that stands still."""

    def __init__(self, *, runner: asyncio.Runner, idp: IdentityProvider, keys: IssuerKeys, clock: HandClock) -> None:
        self.runner = runner
        self.idp = idp
        self.keys = keys
        self.clock = clock
        self.connection = idp.connection()

    @property
    def now(self) -> int:
        return self.clock.now_s

    def assertion(
        self,
        *,
        alg: str = "ES256",
        claims: Mapping[str, Any] = {},
        header: Mapping[str, Any] = {},
    ) -> str:
        return self.idp.assertion(audience=AUDIENCE, alg=alg, now_s=self.now, claims=claims, header=header)

    def with_payload(self, payload: tokens.Part) -> str:
        """An assertion with a good header and a good signature over whatever the payload is."""
        return tokens.signed(payload, key=self.idp.keys["ES256"], alg="ES256", header=self.idp.header("ES256"))

    def with_raw_claims(self, **raw: str) -> str:
        """An assertion whose claims are ordinary but for those given, which stand there as written."""
        claims = self.idp.claims(audience=AUDIENCE, client_id=CLIENT_ID, now_s=self.now)
        written = {**{name: json.dumps(value) for name, value in claims.items()}, **raw}
        return self.with_payload(("{" + ",".join(f'"{name}":{text}' for name, text in written.items()) + "}").encode())

    def claims(self, **changes: Any) -> dict[str, Any]:
        return tokens.overridden(self.idp.claims(audience=AUDIENCE, client_id=CLIENT_ID, now_s=self.now), changes)

    def verify(self, token: str, *, connection: Connection | None) -> VerifiedCaller:
        return self.runner.run(
            verify_caller_assertion(
                token, connection=connection, audience=AUDIENCE, keys=self.keys, now_ms=self.clock.now_ms()
            )
        )

    def accepts(self, token: str, **options: Any) -> VerifiedCaller:
        return self.verify(token, connection=self.idp.connection(**options))

    def refuses(self, token: str, **options: Any) -> NotAuthenticated:
        """The refusal; it says nothing that stood in the token but what our own configuration says too."""
        with pytest.raises(NotAuthenticated) as refused:
            self.accepts(token, **options)
        message = str(refused.value)
        assert (refused.value.error, refused.value.scheme) == ("invalid_token", "Bearer")
        assert not any(part in message for part in token.split(".") if len(part) > 3)
        assert "s3cret" not in message
        return refused.value


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    clock = HandClock()
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def opened() -> Door:
            idp = await stack.enter_async_context(IdentityProvider.running())
            outbound = await stack.enter_async_context(open_outbound(allowed_networks=(ip_network("127.0.0.0/8"),)))
            keys = IssuerKeys(fetcher=outbound, clock=clock, numbers=Numbers())
            stack.push_async_callback(keys.close)
            return Door(runner=runner, idp=idp, keys=keys, clock=clock)

        yield runner.run(opened())
        runner.run(stack.aclose())


# What is accepted.


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_an_assertion_as_okta_documents_it_is_accepted(door: Door, alg: str) -> None:
    caller = door.accepts(door.assertion(alg=alg, claims={"jti": "once"}))
    assert caller == VerifiedCaller(
        connection_id="con_okta", iss=door.idp.issuer, jti="once", expires_at_ms=(door.now + 300 + 60) * 1000
    )


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
def test_an_assertion_without_kid_is_accepted(door: Door, alg: str) -> None:
    door.accepts(door.assertion(alg=alg, header={"kid": REMOVED}))


def test_claims_and_header_members_nobody_knows_are_ignored(door: Door) -> None:
    door.accepts(
        door.assertion(claims={"amr": ["pwd"], "x": None}, header={"iss": "x", "x5t": "AAAA", "foo": {"a": 1}})
    )


def test_a_header_that_carries_a_certificate_is_accepted(door: Door) -> None:
    door.accepts(door.assertion(header={"x5c": ["A" * 2600]}))


def test_eddsa_under_its_new_name_is_accepted(door: Door) -> None:
    door.accepts(door.assertion(alg="EdDSA", header={"alg": "Ed25519"}))


def test_a_verified_caller_cannot_be_changed(door: Door) -> None:
    caller = door.accepts(door.assertion())
    with pytest.raises(FrozenInstanceError):
        caller.connection_id = "con_other"  # type: ignore[misc]  # what must not work


# 1. A signed JWT of bearable size.


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "s3cret",
        "a.b",
        "a.b.c.d.e",
        "é.é.é",
        "\ud800.a.a",
        ".AAAA.AAAA",
        f"{tokens.encoded(b'[]')}.AAAA.AAAA",
        f"{tokens.encoded(b'null')}.AAAA.AAAA",
        f"{tokens.encoded(b'{')}.AAAA.AAAA",
        f"{tokens.encoded(b'{}x')}.AAAA.AAAA",
        f"{tokens.encoded(bytes([0xFF, 0xFE]))}.AAAA.AAAA",
        tokens.encoded('{"alg":"ES256"}'.encode("utf-16")) + ".AAAA.AAAA",
        tokens.encoded(b'\xef\xbb\xbf{"alg":"ES256"}') + ".AAAA.AAAA",
        tokens.encoded(b'{"alg":"none","alg":"ES256"}') + ".AAAA.AAAA",
        tokens.encoded(b'{"alg":"ES256","x":NaN}') + ".AAAA.AAAA",
        tokens.encoded(b'{"alg":"ES256","x":1e400}') + ".AAAA.AAAA",
        tokens.encoded(b"[" * 3000) + ".AAAA.AAAA",
        tokens.encoded({"alg": "ES256", "kid": 7}) + ".AAAA.AAAA",
        tokens.encoded({"alg": "ES256", "kid": None}) + ".AAAA.AAAA",
        tokens.encoded({"alg": "ES256", "typ": ["JWT"]}) + ".AAAA.AAAA",
    ],
)
def test_step_1_what_is_no_signed_jwt_is_refused(door: Door, token: str) -> None:
    assert door.refuses(token).reason == "malformed_token"


@pytest.mark.parametrize("ending", ["=", "==", "+", "/", " ", "\n", "é", "A"])
@pytest.mark.parametrize("part", [0, 1, 2])
def test_step_1_a_part_that_is_not_plain_base64url_is_refused(door: Door, part: int, ending: str) -> None:
    parts = door.assertion().split(".")
    parts[part] += ending
    assert door.refuses(".".join(parts)).reason in {"malformed_token", "bad_signature"}


def test_step_1_a_value_has_one_spelling_only(door: Door) -> None:
    parts = door.assertion().split(".")
    assert len(parts[2]) % 4 == 2  # 64 bytes: the last character has four bits to spare
    parts[2] = parts[2][:-1] + chr(ord(parts[2][-1]) + 1)
    assert door.refuses(".".join(parts)).reason == "malformed_token"


def test_step_1_a_token_longer_than_anybody_sends_is_refused_however_well_it_is_signed(door: Door) -> None:
    room = 8192 - len(door.assertion(claims={"x": "", "y": ""}))
    longest = door.assertion(claims={"x": "", "y": "a" * (room * 3 // 4)})
    assert 8188 <= len(longest) <= 8192
    door.accepts(longest)
    assert "at most 8192" in str(door.refuses(door.assertion(claims={"x": "aaaa", "y": "a" * (room * 3 // 4)})))


def test_step_1_a_header_longer_than_anybody_sends_is_refused_however_well_it_is_signed(door: Door) -> None:
    refusal = door.refuses(door.assertion(header={"x5c": ["A" * 3072]}))
    assert refusal.reason == "malformed_token"
    assert "longer than 4096" in str(refusal)


# 2. An algorithm of ours, and no extension.


@pytest.mark.parametrize(
    "alg", [None, "", "none", "None", "NONE", "RS512", "ES384", "es256", "Ed448", 7, ["ES256"], {}]
)
def test_step_2_an_algorithm_that_is_none_of_ours_is_refused(door: Door, alg: object) -> None:
    token = tokens.unsigned(door.claims(), header={"typ": "global-token-revocation+jwt", "alg": alg})
    assert door.refuses(token).reason == "unsupported_algorithm"


def test_step_2_a_header_without_algorithm_is_refused(door: Door) -> None:
    assert door.refuses(tokens.unsigned(door.claims(), header={})).reason == "unsupported_algorithm"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_step_2_the_public_key_is_no_shared_secret(door: Door, alg: str) -> None:
    key = door.idp.keys["RS256"]
    header = {"typ": "global-token-revocation+jwt", "alg": alg, "kid": key.kid}
    token = tokens.signed_with_public_key(door.claims(), key=key, header=header)
    assert door.refuses(token).reason == "unsupported_algorithm"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": ["unknown"]},
        {"crit": []},
        {"crit": None},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"b64": True},
    ],
)
def test_step_2_a_token_that_insists_on_an_extension_is_refused(door: Door, header: Mapping[str, Any]) -> None:
    assert door.refuses(door.assertion(header=header)).reason == "unsupported_header"


# 3. A key of this connection's identity provider.


def test_step_3_whatever_is_wrong_with_a_credential_the_caller_is_told_the_same(door: Door) -> None:
    good = door.assertion()
    with pytest.raises(NotAuthenticated) as unknown:
        door.verify(good, connection=None)
    refusals = [
        unknown.value,
        door.refuses(good, signing_algorithms=("RS256",)),
        door.refuses(door.assertion(header={"kid": "nobody"})),
        door.refuses(door.with_payload(door.claims())[:-8] + "AAAAAAAA"),
    ]
    assert [each.reason for each in refusals] == [
        "unknown_connection",
        "algorithm_not_allowed",
        "unknown_kid",
        "bad_signature",
    ]
    assert {str(each) for each in refusals} == {"the token is not one this connection accepts"}


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("part", [0, 1, 2])
def test_step_3_a_token_that_was_changed_anywhere_is_refused(door: Door, alg: str, part: int) -> None:
    parts = door.assertion(alg=alg).split(".")
    if part == 0:
        parts[0] = tokens.encoded({**door.idp.header(alg), "x": 1})
    elif part == 1:
        parts[1] = tokens.encoded(door.claims(jti="another"))
    else:
        parts[2] = ("A" if parts[2][0] != "A" else "B") + parts[2][1:]
    assert door.refuses(".".join(parts)).reason == "bad_signature"


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("signature", ["", "AAAA", "A" * 2000])
def test_step_3_a_signature_of_another_length_is_refused(door: Door, alg: str, signature: str) -> None:
    unsigned = door.assertion(alg=alg).rpartition(".")[0]
    assert door.refuses(f"{unsigned}.{signature}").reason == "bad_signature"


def test_step_3_an_algorithm_that_is_not_the_connections_is_refused_although_its_key_is_published(door: Door) -> None:
    token = door.assertion(alg="ES256")
    door.accepts(token, id_token_signed_response_alg="ES256")
    assert door.refuses(token, id_token_signed_response_alg="RS256").reason == "algorithm_not_allowed"


@pytest.mark.parametrize(("named", "used"), [("RS256", "PS256"), ("PS256", "RS256")])
def test_step_3_a_key_for_one_algorithm_does_not_serve_another(door: Door, named: str, used: str) -> None:
    key = door.idp.keys[used]
    header = {**door.idp.header(named), "kid": key.kid}
    assert door.refuses(tokens.signed(door.claims(), key=key, alg=named, header=header)).reason == "unknown_kid"
    header = tokens.overridden(door.idp.header(named), {"kid": REMOVED})
    assert door.refuses(tokens.signed(door.claims(), key=key, alg=named, header=header)).reason == "bad_signature"


@pytest.mark.parametrize("alg", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("kid", [True, False])
def test_step_3_another_issuers_key_is_refused(door: Door, alg: str, kid: bool) -> None:
    stranger = tokens.private_key(alg, 2)
    header = tokens.overridden(door.idp.header(alg), {} if kid else {"kid": REMOVED})
    assert door.refuses(tokens.signed(door.claims(), key=stranger, alg=alg, header=header)).reason == "bad_signature"


def test_step_3_a_key_in_the_token_or_named_by_it_is_never_used(door: Door) -> None:
    stranger = tokens.private_key("ES256", 2)
    fetched = door.idp.fetches.total()
    header = {
        **door.idp.header("ES256"),
        "jwk": tokens.public_jwk(stranger),
        "jku": f"{door.idp.origin}/stranger/oauth2/v1/keys",
        "x5u": f"{door.idp.origin}/stranger/oauth2/v1/keys",
    }
    token = tokens.signed(door.claims(), key=stranger, alg="ES256", header=header)
    assert door.refuses(token).reason == "bad_signature"
    assert door.idp.fetches.total() == fetched


def test_step_3_keys_that_cannot_be_had_are_no_fault_of_the_caller(door: Door) -> None:
    with pytest.raises(Unavailable):
        door.accepts(door.assertion(), jwks_uri=f"{door.idp.origin}/nothing-here")


@pytest.mark.parametrize("named", [True, False])
async def test_step_3_a_rotation_is_followed_whether_or_not_tokens_name_their_key(
    idp: IdentityProvider, keys: IssuerKeys, clock: HandClock, named: bool
) -> None:
    header = {} if named else {"kid": REMOVED}

    async def verify() -> VerifiedCaller:
        token = idp.assertion(audience=AUDIENCE, alg="ES256", now_s=clock.now_s, header=header)
        return await verify_caller_assertion(
            token, connection=idp.connection(), audience=AUDIENCE, keys=keys, now_ms=clock.now_ms()
        )

    await verify()
    idp.rotate()
    with pytest.raises(NotAuthenticated):  # the cool-down of the first fetch
        await verify()
    clock.advance(30)
    await verify()
    assert idp.fetches["keys"] == 2


# 4. Of this kind.


@pytest.mark.parametrize(
    "typ",
    [
        "global-token-revocation+jwt",
        "Global-Token-Revocation+JWT",
        "application/global-token-revocation+jwt",
        "APPLICATION/global-token-revocation+jwt",
    ],
)
def test_step_4_typ_compares_as_a_media_type(door: Door, typ: str) -> None:
    door.accepts(door.assertion(header={"typ": typ}))


@pytest.mark.parametrize(
    "typ",
    [
        REMOVED,
        "",
        "JWT",
        "at+jwt",
        "logout+jwt",
        "secevent+jwt",
        "global-token-revocation",
        "application/application/global-token-revocation+jwt",
        "text/global-token-revocation+jwt",
        " global-token-revocation+jwt",
    ],
)
def test_step_4_another_kind_of_token_is_refused(door: Door, typ: object) -> None:
    refusal = door.refuses(door.assertion(header={"typ": typ}))
    assert refusal.reason == "wrong_typ"
    assert "expected global-token-revocation+jwt" in str(refusal)


# 5. Claims that can be read in one way only.


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b'"s3cret"',
        b"7",
        b"{",
        b"{}{}",
        b"\xff",
        b'\xef\xbb\xbf{"jti":"x"}',
        '{"jti":"x"}'.encode("utf-16"),
        b'{"sub":"a","sub":"b"}',
        b'{"x":{"a":1,"a":1}}',
        b'{"x":[{"a":1,"\\u0061":1}]}',
        b'{"x":NaN}',
        b'{"x":[-Infinity]}',
        b'{"x":1e400}',
        b'{"x":' + b"9" * 5000 + b"}",
        b"[" * 5000,
    ],
)
def test_step_5_claims_that_are_no_plain_json_object_are_refused(door: Door, payload: bytes) -> None:
    assert door.refuses(door.with_payload(payload)).reason == "malformed_claims"


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"])
def test_step_5_a_claim_twice_is_refused_even_with_the_same_value(door: Door, claim: str) -> None:
    once = json.dumps(door.claims())
    twice = once[:-1] + f', "{claim}": {json.dumps(door.claims()[claim])}' + "}"
    assert door.refuses(door.with_payload(twice.encode())).reason == "malformed_claims"


# 6. iss.


@pytest.mark.parametrize(
    "iss", [REMOVED, None, "", "s3cret", 7, True, [], {}, ["{issuer}"], "{issuer}/", " {issuer}", "{ISSUER}"]
)
def test_step_6_another_issuer_is_refused(door: Door, iss: Any) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(each) for each in value]
        issuer = door.idp.issuer
        return value.format(issuer=issuer, ISSUER=issuer.upper()) if isinstance(value, str) else value

    refusal = door.refuses(door.assertion(claims={"iss": filled(iss)}))
    assert refusal.reason == "wrong_iss"
    assert f"expected {door.idp.issuer}" in str(refusal)


def test_step_6_the_issuers_that_were_configured_take_the_place_of_the_connections(door: Door) -> None:
    configured = ("http://www.okta.com/exk1", "https://login.example.com")
    for iss in configured:
        caller = door.accepts(door.assertion(claims={"iss": iss}), global_token_revocation_jwt_iss=configured)
        assert caller.iss == iss
    assert door.refuses(door.assertion(), global_token_revocation_jwt_iss=configured).reason == "wrong_iss"


# 7. sub.


@pytest.mark.parametrize("sub", [REMOVED, None, "", "s3cret", CLIENT_ID.upper(), CLIENT_ID + " ", 7, [CLIENT_ID], {}])
def test_step_7_another_caller_is_refused(door: Door, sub: object) -> None:
    refusal = door.refuses(door.assertion(claims={"sub": sub}))
    assert refusal.reason == "wrong_sub"
    assert f"expected {CLIENT_ID}" in str(refusal)


def test_step_7_the_subject_that_was_configured_takes_the_place_of_the_client_id(door: Door) -> None:
    token = door.assertion(claims={"sub": "0oaSamlInstance"})
    door.accepts(token, global_token_revocation_jwt_sub="0oaSamlInstance")
    assert door.refuses(door.assertion(), global_token_revocation_jwt_sub="0oaSamlInstance").reason == "wrong_sub"


# 8. aud.


def test_step_8_the_endpoint_alone_in_a_list_is_accepted(door: Door) -> None:
    door.accepts(door.assertion(claims={"aud": [AUDIENCE]}))


@pytest.mark.parametrize(
    "aud",
    [
        REMOVED,
        None,
        "",
        "s3cret",
        AUDIENCE + "/",
        AUDIENCE + "?",
        AUDIENCE + "?x=1",
        AUDIENCE.replace("https", "http"),
        AUDIENCE.replace("okta", "other"),
        AUDIENCE.upper(),
        CLIENT_ID,
        [],
        [AUDIENCE, AUDIENCE],
        [AUDIENCE, "https://other.example"],
        [[AUDIENCE]],
        {AUDIENCE: 1},
        True,
        7,
    ],
)
def test_step_8_another_audience_is_refused(door: Door, aud: object) -> None:
    refusal = door.refuses(door.assertion(claims={"aud": aud}))
    assert refusal.reason == "wrong_aud"
    assert str(refusal).endswith(f"expected exactly {AUDIENCE}")


def test_step_8_the_refusal_says_what_was_sent_where_that_is_a_plain_url(door: Door) -> None:
    assert f"`aud` is {AUDIENCE}/;" in str(door.refuses(door.assertion(claims={"aud": AUDIENCE + "/"})))
    for private in ("https://ann@example.com/", "https://example.com/?token=s3cret", "ann@example.com"):
        assert "`aud` is another string;" in str(door.refuses(door.assertion(claims={"aud": private})))


# 9. Times. Okta's own: iat now, exp 300 s ahead, nbf 300 s ago.


@pytest.mark.parametrize(
    ("iat", "exp", "nbf", "reason"),
    [
        (0, 300, -300, None),
        (0, 300, None, None),
        (0, 0, None, None),
        (60, 360, 60, None),
        (61, 300, None, "issued_in_future"),
        (-420, -60, None, "expired"),
        (-419, -59, None, None),
        (-600, -60, None, "expired"),
        (-601, 300, None, "too_old"),
        (-600, 300, None, "bad_lifetime"),
        (0, 360, None, None),
        (0, 361, None, "bad_lifetime"),
        (-61, 300, None, "bad_lifetime"),
        (60, 361, None, "bad_lifetime"),
        (10, 9, None, "bad_lifetime"),
        (0, 300, 60, None),
        (0, 300, 61, "not_yet_valid"),
        (0, 300, -100_000, None),
        (0.5, 299.25, -0.5, None),
        (0, 10**9, None, "bad_lifetime"),
    ],
)
def test_step_9_times_are_held_against_our_clock(
    door: Door, iat: float, exp: float, nbf: float | None, reason: str | None
) -> None:
    now = door.now
    token = door.assertion(claims={"iat": now + iat, "exp": now + exp, "nbf": REMOVED if nbf is None else now + nbf})
    if reason is None:
        assert door.accepts(token).expires_at_ms == round((now + exp + 60) * 1000)
    else:
        assert door.refuses(token).reason == reason


@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_step_9_exp_and_iat_are_required(door: Door, claim: str) -> None:
    refusal = door.refuses(door.assertion(claims={claim: REMOVED}))
    assert refusal.reason == "bad_time_claim"
    assert f"`{claim}`" in str(refusal)


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "written",
    [
        "null",
        "true",
        "false",
        '"1800000000"',
        '""',
        "[]",
        "[1800000000]",
        "{}",
        "-1",
        "1e300",
        "9" * 4000,
        "253402300800",
    ],
)
def test_step_9_a_time_that_is_no_number_of_seconds_is_refused(door: Door, claim: str, written: str) -> None:
    refusal = door.refuses(door.with_raw_claims(**{claim: written}))
    assert refusal.reason == "bad_time_claim"
    assert f"`{claim}`" in str(refusal)


offsets = st.one_of(
    st.integers(-800, 800),
    st.sampled_from([-601, -600, -599, -421, -420, -61, -60, -59, 0, 59, 60, 61, 299, 300, 301, 359, 360, 361]),
    st.floats(-800, 800),
)


@given(iat=offsets, exp=offsets, nbf=st.none() | offsets)
def test_step_9_exactly_the_times_of_the_profile_are_accepted(
    door: Door, iat: float, exp: float, nbf: float | None
) -> None:
    now = door.now
    times = {"iat": now + iat, "exp": now + exp} | ({} if nbf is None else {"nbf": now + nbf})
    iat, exp = times["iat"] - now, times["exp"] - now  # as precise as the token can say it
    nbf = None if nbf is None else times["nbf"] - now
    allowed = -600 <= iat <= 60 and -60 < exp <= 360 and 0 <= exp - iat <= 360 and (nbf is None or nbf <= 60)
    token = door.assertion(claims={"nbf": REMOVED, **times})
    if allowed:
        door.accepts(token)
    else:
        door.refuses(token)


json_texts = st.one_of(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers() | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ).map(json.dumps),
    st.sampled_from(
        ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1E+9999", "-0", "0.0", "1" * 4300, "1" * 4301, "00"]
    ),
    st.integers(1, 5).map(lambda digits: "9" * 10**digits if digits < 4 else "1e" + "9" * digits),
)


@given(claim=st.sampled_from(["exp", "iat", "nbf"]), written=json_texts)
def test_step_9_no_time_claim_whatever_it_is_is_anything_but_accepted_or_refused(
    door: Door, claim: str, written: str
) -> None:
    token = door.with_raw_claims(**{claim: written})
    try:
        value = json.loads(written)
    except ValueError:
        value = None
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(min(value, 2**60))
    if claim == "nbf" and plain and 0 <= value <= door.now:
        door.accepts(token)
    else:
        # Nothing drawn lies within minutes of the clock.
        door.refuses(token)


@given(payload=json_texts.map(str.encode) | st.binary(max_size=200))
def test_no_payload_whatever_it_is_is_anything_but_refused(door: Door, payload: bytes) -> None:
    door.refuses(door.with_payload(payload))


@given(token=st.text(max_size=60) | st.lists(st.binary(max_size=60).map(tokens.base64url), max_size=5).map(".".join))
def test_no_text_whatever_it_is_is_anything_but_refused(door: Door, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        door.verify(token, connection=door.connection)


# 10. jti.


@pytest.mark.parametrize("jti", ["x", "x" * 256, "\u0000", "ü", "\U0001f600"])
def test_step_10_any_name_is_a_name(door: Door, jti: str) -> None:
    assert door.accepts(door.assertion(claims={"jti": jti})).jti == jti


@pytest.mark.parametrize("jti", [REMOVED, None, "", "s3cret" * 43, 7, True, ["x"], {}, "\ud800", "x\udfff"])
def test_step_10_an_assertion_that_cannot_be_remembered_by_name_is_refused(door: Door, jti: object) -> None:
    assert door.refuses(door.assertion(claims={"jti": jti})).reason == "bad_jti"


# 11. No other kind of JWT.


@pytest.mark.parametrize("claim", ["events", "nonce"])
@pytest.mark.parametrize("value", [None, {}, "", "s3cret", {"http://schemas.openid.net/event/backchannel-logout": {}}])
def test_step_11_a_claim_of_another_kind_of_token_is_refused(door: Door, claim: str, value: object) -> None:
    refusal = door.refuses(door.assertion(claims={claim: value}))
    assert refusal.reason == "other_kind_of_token"
    assert f"`{claim}`" in str(refusal)
