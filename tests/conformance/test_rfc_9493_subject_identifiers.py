"""RFC 9493, Subject Identifiers for Security Event Tokens: section 3, clause by clause, against `parse_subject`."""

import pytest

from service.domain.subject import ALIASES, MAX_ALIASES, MEMBERS, SubjectIdentifier, parse_subject
from service.errors import InvalidRequest

EXAMPLES: dict[str, dict[str, object]] = {
    "account": {"uri": "acct:ada@example.com"},
    "did": {"url": "did:example:123456#key-1"},
    "email": {"email": "ada@example.com"},
    "iss_sub": {"iss": "https://idp.example.com/", "sub": "00u1"},
    "opaque": {"id": "11112222333344445555"},
    "phone_number": {"phone_number": "+12065550100"},
    "uri": {"uri": "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f"},
}
"""One well-formed identifier of each format, without its `format` member."""

EVERY_MEMBER = [(name, member) for name, members in MEMBERS.items() for member in members]


def of(name: str, **members: object) -> dict[str, object]:
    return {"format": name, **EXAMPLES.get(name, {}), **members}


def parse_one(data: object) -> SubjectIdentifier:
    (found,) = parse_subject(data)
    return found


@pytest.mark.parametrize("data", [None, True, 7, "ada@example.com", ["format", "email"], [of("email")]])
def test_section_3_an_identifier_is_a_json_object(data: object) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        parse_subject(data)


@pytest.mark.parametrize(
    "data", [{}, {"email": "ada@example.com"}, {"subject_type": "email", "email": "ada@example.com"}]
)
def test_section_3_format_is_required(data: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="needs `format`"):
        parse_subject(data)


@pytest.mark.parametrize("value", [None, "", 1, True, ["email"], {"email": 1}])
def test_section_3_format_is_a_string_that_is_not_empty(value: object) -> None:
    with pytest.raises(InvalidRequest, match="needs `format`"):
        parse_subject(of("email") | {"format": value})


@pytest.mark.parametrize("name", ["phone", "jwt_id", "complex", "Email", "email ", "urn:example:user"])
def test_section_3_a_format_that_is_not_registered_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="format is not supported"):
        parse_subject({"format": name, "email": "ada@example.com"})


def test_section_3_the_formats_are_those_of_the_registry_in_rfc_9493() -> None:
    registered = {"account", "email", "iss_sub", "opaque", "phone_number", "did", "uri", "aliases"}

    assert {*MEMBERS, ALIASES} == registered
    assert set(EXAMPLES) == set(MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_section_3_a_complete_identifier_of_each_format_is_taken(name: str) -> None:
    assert parse_one(of(name)).to_json() == of(name)


@pytest.mark.parametrize(("name", "member"), EVERY_MEMBER)
def test_section_3_every_member_a_format_requires_is_present(name: str, member: str) -> None:
    incomplete = of(name)
    del incomplete[member]

    with pytest.raises(InvalidRequest, match=f"needs `{member}`"):
        parse_subject(incomplete)


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(("name", "member"), EVERY_MEMBER)
def test_section_3_no_required_member_is_null_or_empty(name: str, member: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=f"needs `{member}`"):
        parse_subject(of(name, **{member: value}))


@pytest.mark.parametrize("value", [0, 1.5, False, ["x"], {"x": "y"}])
@pytest.mark.parametrize(("name", "member"), EVERY_MEMBER)
def test_section_3_no_required_member_is_anything_but_a_string(name: str, member: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=f"needs `{member}`"):
        parse_subject(of(name, **{member: value}))


@pytest.mark.parametrize("name", [*MEMBERS, ALIASES])
def test_section_3_no_member_is_foreign_to_the_format(name: str) -> None:
    extended = of(name, identifiers=[of("opaque")]) if name == ALIASES else of(name)

    with pytest.raises(InvalidRequest, match="has no member 'tenant'"):
        parse_subject({**extended, "tenant": "t1"})


def test_section_3_members_of_another_format_are_foreign_too() -> None:
    with pytest.raises(InvalidRequest, match="'email' has no member 'iss', 'sub'"):
        parse_subject(of("email", iss="https://idp.example.com/", sub="00u1"))


def test_section_3_foreign_members_are_not_echoed_at_length() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_subject(of("email") | {f"{number}{'x' * 500}": 1 for number in range(50)})

    assert len(str(refused.value)) < 250


def test_section_3_2_1_an_account_is_an_acct_uri() -> None:
    assert parse_one(of("account")).value == ("acct:ada@example.com",)


@pytest.mark.parametrize(
    "uri",
    [
        "ada@example.com",
        "mailto:ada@example.com",
        "acct:ada",
        "acct:@example.com",
        "acct:ada@",
        "acct:ada@ex@ample.com",
        "acct:a da@example.com",
        "acct:a\x01da@example.com",
        "acct:%zz@example.com",
        "acct:ada@example.com/path",
        "acct:ada@example.com?q=1",
        "acct:ada@example..com",
    ],
)
def test_section_3_2_1_an_account_that_is_no_acct_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_subject(of("account", uri=uri))


def test_section_3_2_1_scheme_and_host_of_an_account_compare_without_case_and_its_user_part_with() -> None:
    assert parse_one(of("account", uri="ACCT:Ada@EXAMPLE.com")).value == ("acct:Ada@example.com",)


def test_section_3_2_2_an_email_is_one_address() -> None:
    assert parse_one(of("email")).value == ("ada@example.com",)


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "@example.com",
        "ada@",
        "ada@lovelace@example.com",
        "Ada Lovelace <ada@example.com>",
        "ada @example.com",
        "ada@exa mple.com",
        "ada\n@example.com",
        "ada@example..com",
        "ada@-example.com",
        "ada@example.com, ben@example.com",
        f"{'a' * 65}@example.com",
        f"ada@{'.'.join(['a' * 60] * 5)}",
    ],
)
def test_section_3_2_2_an_email_that_is_no_address_is_refused_and_not_echoed(address: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_subject(of("email", email=address))

    assert address not in str(refused.value)


@pytest.mark.parametrize("address", ["ada@EXAMPLE.com", "Ada@example.com", "ADA@Example.COM", "ada@example.com."])
def test_section_3_2_2_1_email_addresses_are_canonicalised(address: str) -> None:
    assert parse_one(of("email", email=address)) == parse_one(of("email", email="ada@example.com"))


@pytest.mark.parametrize("address", ["a.da@example.com", "ada+tag@example.com", "ada@mail.example.com"])
def test_section_3_2_2_1_what_a_provider_may_keep_apart_stays_apart(address: str) -> None:
    assert parse_one(of("email", email=address)) != parse_one(of("email", email="ada@example.com"))


def test_section_3_2_3_issuer_and_subject_compare_character_by_character() -> None:
    exact = parse_one(of("iss_sub", iss="https://idp.example.com", sub="Ada"))

    assert exact.value == ("https://idp.example.com", "Ada")
    assert exact != parse_one(of("iss_sub", iss="https://idp.example.com/", sub="Ada"))
    assert exact != parse_one(of("iss_sub", iss="https://IDP.example.com", sub="Ada"))
    assert exact != parse_one(of("iss_sub", iss="https://idp.example.com", sub="ada"))


@pytest.mark.parametrize("value", ["00u1", "  spaces stay  ", "Ünïcode/with?anything", "ada@EXAMPLE.com"])
def test_section_3_2_4_an_opaque_id_has_no_structure(value: str) -> None:
    assert parse_one(of("opaque", id=value)).value == (value,)


@pytest.mark.parametrize("number", ["+12065550100", "+4930901820", "+8613800138000"])
def test_section_3_2_5_a_phone_number_is_in_e_164_form(number: str) -> None:
    assert parse_one(of("phone_number", phone_number=number)).value == (number,)


@pytest.mark.parametrize(
    "number",
    [
        "12065550100",
        "+1 206 555 0100",
        "+1-206-555-0100",
        "+01206",
        "+",
        "+1",
        "+1234567890123456",
        "tel:+12065550100",
        "+1206555010\uff10",
        "+12065550100\n",
    ],
)
def test_section_3_2_5_a_phone_number_in_another_form_is_refused(number: str) -> None:
    with pytest.raises(InvalidRequest, match=r"E\.164"):
        parse_subject(of("phone_number", phone_number=number))


@pytest.mark.parametrize(
    "url", ["did:example:123456", "did:web:example.com%3A3000:ada", "did:example:123456/did/url/path?versionId=1#k"]
)
def test_section_3_2_6_a_did_may_be_a_did_url(url: str) -> None:
    assert parse_one(of("did", url=url)).value == (url,)


@pytest.mark.parametrize(
    "url",
    [
        "did:",
        "did:example",
        "did:example:",
        "did:EXAMPLE:1",
        "DID:example:1",
        "did:example:a:",
        "did:example:a b",
        "did:example:%z1",
        "https://example.com/",
    ],
)
def test_section_3_2_6_a_did_that_is_no_did_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="DID URL"):
        parse_subject(of("did", url=url))


@pytest.mark.parametrize(
    "uri", ["https://user.example.com/", "urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f", "tag:a,2026:b"]
)
def test_section_3_2_7_a_uri_is_kept_as_it_is(uri: str) -> None:
    assert parse_one(of("uri", uri=uri)).value == (uri,)


@pytest.mark.parametrize(
    "uri",
    [
        "user.example.com",
        "//user.example.com/",
        "/users/1",
        ":x",
        "https:",
        "1a:b",
        "urn:a b",
        "urn:a\x01",
        "urn:a\u2003b",
        "urn:<a>",
        "urn:100%",
    ],
)
def test_section_3_2_7_a_uri_that_is_not_absolute_or_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(InvalidRequest, match="absolute URI"):
        parse_subject(of("uri", uri=uri))


def test_section_3_2_8_aliases_are_several_names_of_one_person() -> None:
    several = of(ALIASES, identifiers=[of("email"), of("phone_number"), of("iss_sub")])

    assert [each.to_json() for each in parse_subject(several)] == several["identifiers"]


@pytest.mark.parametrize("listed", [None, [], {}, "email", of("email")])
def test_section_3_2_8_identifiers_is_an_array_that_is_not_empty(listed: object) -> None:
    with pytest.raises(InvalidRequest, match="`identifiers`, a list that is not empty"):
        parse_subject(of(ALIASES, identifiers=listed))


def test_section_3_2_8_identifiers_is_required() -> None:
    with pytest.raises(InvalidRequest, match="`identifiers`"):
        parse_subject(of(ALIASES))


@pytest.mark.parametrize("inner", [of(ALIASES, identifiers=[of("email")]), of(ALIASES)])
def test_section_3_2_8_aliases_are_not_nested(inner: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="must not hold another aliases subject"):
        parse_subject(of(ALIASES, identifiers=[of("email"), inner]))


def test_section_3_2_8_a_name_given_twice_is_one_name() -> None:
    twice = of(ALIASES, identifiers=[of("email"), of("opaque"), of("email"), of("email", email="ADA@example.com")])

    assert [each.format for each in parse_subject(twice)] == ["email", "opaque"]


@pytest.mark.parametrize("inner", [None, "email", {}, {"format": "email"}, {"format": "phone", "phone": "1"}])
def test_section_3_2_8_each_alias_obeys_section_3_itself(inner: object) -> None:
    with pytest.raises(InvalidRequest):
        parse_subject(of(ALIASES, identifiers=[of("email"), inner]))


def test_section_3_2_8_more_aliases_than_are_looked_up_are_refused_not_cut() -> None:
    most = [of("opaque", id=str(number)) for number in range(MAX_ALIASES)]

    assert len(parse_subject(of(ALIASES, identifiers=most))) == MAX_ALIASES
    with pytest.raises(InvalidRequest, match=f"at most {MAX_ALIASES}"):
        parse_subject(of(ALIASES, identifiers=[*most, of("email")]))
