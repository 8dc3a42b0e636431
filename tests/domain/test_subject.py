"""Subject identifiers, over inputs nobody thought of."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.subject import MAX_MEMBER_LENGTH, MEMBERS, iss_sub, parse_identifier, parse_subject
from service.errors import InvalidRequest

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

LABELS = st.sampled_from(["example", "EXAMPLE", "bücher", "BÜCHER", "例え", "xn--bcher-kva", "a-b", "ﬁsh", "x1"])
domains = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
local_parts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
members = st.one_of(
    st.text(max_size=60),
    st.builds("{}@{}".format, local_parts, domains),
    st.builds("acct:{}@{}".format, st.text("aZ0.%2F~", min_size=1, max_size=9), domains),
    st.builds("{}:{}".format, st.sampled_from(["did:example", "urn", "https"]), st.text(max_size=20)),
    st.integers(0, 10**17).map("+{}".format),
)


@st.composite
def near_identifiers(draw: st.DrawFn) -> dict[str, object]:
    """Objects close to a subject identifier: the right members with odd values, sometimes one more or one fewer."""
    name = draw(st.sampled_from([*MEMBERS, "aliases", "phone"]))
    data: dict[str, object] = {"format": name}
    for member in MEMBERS.get(name, ("identifiers",)):
        data[member] = draw(members | json_values)
    if draw(st.booleans()):
        data |= draw(st.dictionaries(st.text(max_size=5), json_values, max_size=2))
    return data


subjects = st.one_of(
    json_values,
    near_identifiers(),
    st.lists(near_identifiers(), max_size=3).map(lambda inner: {"format": "aliases", "identifiers": inner}),
)


@given(subjects)
@example({"format": "email", "email": "\ud800@example.com"})
@example({"format": "opaque", "id": "\x00"})
@example({"format": "email", "email": "a@\ud800.com"})
@example({"format": "email", "email": "a@xn--.com"})
@example({"format": "email", "\ud800": 1})
@example({"format": "account", "uri": f"acct:{'a' * 2030}@{'ü' * 13}.x"})
def test_a_subject_is_read_or_refused_and_reading_what_was_read_changes_nothing(data: object) -> None:
    try:
        found = parse_subject(data)
    except InvalidRequest as refused:
        str(refused).encode()  # it goes into an answer, so it must be sayable in UTF-8
        return
    assert found
    for each in found:
        assert parse_subject(each.to_json()) == (each,)
        assert parse_identifier(each.to_json()) == each
    assert parse_subject({"format": "aliases", "identifiers": [each.to_json() for each in found]}) == found


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789.+-_äößéñøžи", min_size=1, max_size=20), domains)
def test_an_email_is_the_same_in_any_case(local: str, domain: str) -> None:
    written = f"{local}@{domain}"

    def read(address: str) -> object:
        return parse_identifier({"format": "email", "email": address})

    assert read(written) == read(written.upper()) == read(written.title()) == read(written.lower())


@given(local_parts, local_parts)
def test_two_local_parts_are_one_only_when_they_fold_to_one(one: str, other: str) -> None:
    try:
        first, second = (parse_identifier({"format": "email", "email": f"{each}@example.com"}) for each in (one, other))
    except InvalidRequest:
        return
    if one.isascii() and other.isascii():
        assert (first == second) == (one.lower() == other.lower())


@pytest.mark.parametrize(
    ("written", "compared"),
    [
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("ada@faß.example", "ada@xn--fa-hia.example"),
        ("ada@例え。テスト", "ada@xn--r8jz45g.xn--zckzah"),
        ("ada@\uff25xample\uff0ecom", "ada@example.com"),
        ("JÜRGEN@example.com", "jürgen@example.com"),
        ("Ju\u0308rgen@example.com", "jürgen@example.com"),
        ('"Ada@Home"@example.com', '"ada@home"@example.com'),
    ],
)
def test_an_email_is_compared_in_one_form_however_it_is_written(written: str, compared: str) -> None:
    assert parse_identifier({"format": "email", "email": written}).value == (compared,)


@pytest.mark.parametrize(
    "domain", ["a_b.example", "xn--a.example", "a\u2024b\u0000.com", "ex\uff20mple.com", "[127.0.0.1]"]
)
def test_a_domain_that_is_no_host_name_is_refused(domain: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_identifier({"format": "email", "email": f"ada@{domain}"})


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_issuer_and_subject_are_kept_to_the_letter(iss: str, sub: str) -> None:
    try:
        found = parse_identifier({"format": "iss_sub", "iss": iss, "sub": sub})
    except InvalidRequest:
        assert any(character == "\x00" or 0xD800 <= ord(character) <= 0xDFFF for character in iss + sub)
    else:
        assert found == iss_sub(iss, sub)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_longer_than_the_limit_is_refused_by_its_length_alone(name: str) -> None:
    long = dict.fromkeys(MEMBERS[name], "a" * (MAX_MEMBER_LENGTH + 1))

    with pytest.raises(InvalidRequest, match=f"longer than {MAX_MEMBER_LENGTH}"):
        parse_identifier({"format": name, **long})


def test_one_identifier_is_asked_for_where_aliases_will_not_do() -> None:
    with pytest.raises(InvalidRequest, match="not supported"):
        parse_identifier({"format": "aliases", "identifiers": [{"format": "opaque", "id": "1"}]})
