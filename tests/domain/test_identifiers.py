"""Names we mint: told apart by prefix, derived without collisions, random where they must be."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain import identifiers
from service.domain.identifiers import (
    delivery_id_for,
    fingerprint,
    new_revocation_id,
    revocation_id_for,
    revocation_id_of,
    user_id_for,
)

parts = st.lists(st.text(max_size=6) | st.binary(max_size=6), max_size=4).map(tuple)
# Few characters, the likeliest delimiters among them: parts that would run into one another often come up.
texts = st.lists(st.text("ab:/|\x00=_", max_size=3), max_size=4).map(tuple)
sids = st.none() | st.text("=a", max_size=3)


def as_bytes(given_parts: tuple[str | bytes, ...]) -> tuple[bytes, ...]:
    return tuple(each.encode(errors="surrogatepass") if isinstance(each, str) else each for each in given_parts)


@given(texts | parts, texts | parts)
@example(("a", "b"), ("ab",))
@example(("a", ""), ("a",))
@example(("", "a"), ("a", ""))
@example(("a:", "b"), ("a", ":b"))
@example((), ("",))
@example((b"\x00" * 8,), ("", ""))
@example(("\ud800",), ("\ud801",))
def test_fingerprints_are_one_only_when_every_part_is(
    one: tuple[str | bytes, ...], other: tuple[str | bytes, ...]
) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (as_bytes(one) == as_bytes(other))


def test_a_fingerprint_is_sha_256_in_hexadecimal() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", fingerprint("refresh_token", "x"))


@given(texts, texts)
def test_the_same_request_has_the_same_revocation_and_another_has_another(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert (revocation_id_for(*one) == revocation_id_for(*other)) == (one == other)


@given(
    st.tuples(st.text("ab:", max_size=3), st.text("ab:", max_size=3)),
    st.tuples(st.text("ab:", max_size=3), st.text("ab:", max_size=3)),
)
def test_people_are_one_only_when_issuer_and_subject_both_are(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (user_id_for("con_1", *one) == user_id_for("con_1", *other)) == (one == other)


@given(st.text(max_size=5), st.text(max_size=5))
def test_one_upstream_person_is_two_people_in_two_connections(iss: str, sub: str) -> None:
    assert user_id_for("con_1", iss, sub) != user_id_for("con_2", iss, sub)


owed = st.tuples(st.text("ab=", max_size=2), st.text("ab=", max_size=3), st.text("ab=", max_size=3), sids)


@given(owed, owed)
@example(("u", "a", "s", None), ("u", "a", "s", ""))
@example(("u", "a", "b", None), ("u", "ab", "", None))
@example(("u", "a", "s", None), ("w", "a", "s", None))
def test_a_delivery_is_owed_once_for_each_person_client_sub_and_sid(
    one: tuple[str, str, str, str | None], other: tuple[str, str, str, str | None]
) -> None:
    assert (delivery_id_for("rev_1", *one) == delivery_id_for("rev_1", *other)) == (one == other)
    assert delivery_id_for("rev_1", *one) != delivery_id_for("rev_2", *one)


@given(owed, st.booleans())
def test_a_delivery_names_its_revocation(one: tuple[str, str, str, str | None], derived: bool) -> None:
    revocation = revocation_id_for(one[0]) if derived else new_revocation_id()

    assert revocation_id_of(delivery_id_for(revocation, *one)) == revocation


@pytest.mark.parametrize("name", ["", "dlv", "dlv_", "dlv_x", "dlv__x", "dlv_x_", "rev_x_y", "xdlv_a_b"])
def test_what_is_no_delivery_names_no_revocation(name: str) -> None:
    with pytest.raises(ValueError, match="not a delivery id"):
        revocation_id_of(name)


@pytest.mark.parametrize(
    ("mint", "shape"),
    [
        (identifiers.new_connection_id, r"con_[a-z2-7]{26}"),
        (identifiers.new_client_id, r"app_[a-z2-7]{26}"),
        (identifiers.new_session_id, r"ses_[a-z2-7]{26}"),
        (identifiers.new_refresh_token_id, r"rt_[a-z2-7]{26}"),
        (identifiers.new_revocation_id, r"rev_[a-z2-7]{26}"),
        (identifiers.new_refresh_token, r"logoutd_rt_[A-Za-z0-9_-]{43}"),
        (identifiers.new_client_secret, r"logoutd_cs_[A-Za-z0-9_-]{43}"),
    ],
)
def test_what_is_minted_says_what_it_is_and_never_comes_twice(mint: Callable[[], str], shape: str) -> None:
    minted = {mint() for _ in range(200)}

    assert len(minted) == 200
    assert all(re.fullmatch(shape, each) for each in minted)


@given(st.text(max_size=40))
def test_what_is_derived_is_safe_in_urls_keys_and_logs(anything: str) -> None:
    for derived in (
        revocation_id_for(anything),
        user_id_for(anything, anything, anything),
        delivery_id_for("rev_a", anything, anything, anything, anything),
    ):
        assert re.fullmatch(r"[a-z0-9_]{10,64}", derived)
