"""The logout token we mint: exactly these claims, one audience, one key."""

import json
from dataclasses import replace

import pytest

from service.domain.delivery import Delivery
from service.keys.algorithms import verify_with
from service.keys.ring import KeyRing, parse_key_ring
from tests.support.house import ISSUER, signing_keys
from tests.support.tokens import private_key
from workers.logout_token import EVENT, LIFETIME_S, logout_claims, mint_logout_token

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")

NOW_S = 1_800_000_000

DELIVERY = Delivery(
    delivery_id="dlv_abc_1", user_id="usr_secretly_ours", client_id="crm", sub="crm|ada", sid=None, attempt_count=3
)


@pytest.fixture(scope="module")
def key_ring() -> KeyRing:
    return parse_key_ring(signing_keys(*ALGORITHMS))


def claims(delivery: Delivery = DELIVERY) -> dict[str, object]:
    return logout_claims(delivery, issuer=ISSUER, now_s=NOW_S, jti="j")


def test_a_token_about_a_person_has_exactly_these_claims() -> None:
    assert claims() == {
        "iss": ISSUER,
        "aud": "crm",
        "iat": NOW_S,
        "exp": NOW_S + 120,
        "jti": "j",
        "txn": "dlv_abc_1",
        "sub": "crm|ada",
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }


def test_a_token_about_one_session_has_its_sid_too_and_nothing_else() -> None:
    assert claims(replace(DELIVERY, sid="s-1")) == {**claims(), "sid": "s-1"}


def test_it_never_has_a_nonce_and_lives_for_two_minutes_at_most() -> None:
    assert "nonce" not in claims()
    assert EVENT.startswith("http://")
    assert LIFETIME_S <= 120


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_it_is_signed_as_the_application_verifies_its_id_tokens(key_ring: KeyRing, algorithm: str) -> None:
    token = mint_logout_token(DELIVERY, key_ring=key_ring, algorithm=algorithm, issuer=ISSUER, now_s=NOW_S)

    payload = verify_with(token, private_key(algorithm, 100), algorithm)
    assert payload is not None
    minted = json.loads(payload)
    assert len(minted.pop("jti")) >= 22  # 128 bits
    assert minted == {name: value for name, value in claims().items() if name != "jti"}


def test_each_attempt_has_a_jti_of_its_own_and_all_the_same_txn(key_ring: KeyRing) -> None:
    minted = []
    for _ in range(20):
        token = mint_logout_token(DELIVERY, key_ring=key_ring, algorithm="ES256", issuer=ISSUER, now_s=NOW_S)
        minted.append(json.loads(verify_with(token, private_key("ES256", 100), "ES256") or b""))
    assert len({each["jti"] for each in minted}) == 20
    assert {each["txn"] for each in minted} == {"dlv_abc_1"}


def test_without_a_key_for_the_algorithm_there_is_no_token() -> None:
    with pytest.raises(KeyError):
        mint_logout_token(
            DELIVERY,
            key_ring=parse_key_ring(signing_keys("ES256")),
            algorithm="RS256",
            issuer=ISSUER,
            now_s=NOW_S,
        )


@pytest.mark.parametrize("text", ["ada@example.com", "ä|ö", 'a"b\\c', "\u2028", "😀", "x" * 1024])
def test_whatever_names_an_application_uses_arrive_as_they_are(key_ring: KeyRing, text: str) -> None:
    delivery = replace(DELIVERY, sub=text, sid=text)
    token = mint_logout_token(delivery, key_ring=key_ring, algorithm="EdDSA", issuer=ISSUER, now_s=NOW_S)
    minted = json.loads(verify_with(token, private_key("EdDSA", 100), "EdDSA") or b"")
    assert (minted["sub"], minted["sid"]) == (text, text)
