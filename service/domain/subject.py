"""Who: RFC 9493 subject identifiers, parsed strictly and brought into the form in which they are compared.

Several members may name one person and one identifier may name several people; both are ordinary here. What is compared
is `SubjectIdentifier.value`, and only ever within one connection (the store adds that part).
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, cast

import idna

from service.errors import InvalidRequest

Format = Literal["account", "did", "email", "iss_sub", "opaque", "phone_number", "uri"]

MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("uri",),
    "did": ("url",),
    "email": ("email",),
    "iss_sub": ("iss", "sub"),
    "opaque": ("id",),
    "phone_number": ("phone_number",),
    "uri": ("uri",),
}
"""The members each format requires, and the only ones it may have (RFC 9493 section 3)."""

ALIASES: Final = "aliases"

MAX_MEMBER_LENGTH = 2048
"""Longest value of one member, in characters: a URL's customary limit; every other format is far shorter."""

MAX_ALIASES = 16
"""Most identifiers in one `aliases` subject: each costs one look-up."""

MAX_LOCAL_PART = 64
"""Longest local part of an e-mail address, in octets (RFC 5321 section 4.5.3.1.1)."""

MAX_DOMAIN = 255
"""Longest domain of an e-mail address, in octets (RFC 5321 section 4.5.3.1.2)."""

_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,31}", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{1,14}", re.ASCII)
_UNRESERVED = r"A-Za-z0-9._~\-"
_SUB_DELIMS = r"!$&'()*+,;="
_PERCENT = r"%[0-9A-Fa-f]{2}"
_URI_TEXT = rf"(?:[{_UNRESERVED}{_SUB_DELIMS}:/?#\[\]@]|{_PERCENT})"
# A host may still be in its Unicode form here: it is compared in its IDNA form.
_ACCT = re.compile(rf"[Aa][Cc][Cc][Tt]:((?:[{_UNRESERVED}{_SUB_DELIMS}]|{_PERCENT})+)@([^@\s/?#]+)")
_DID = re.compile(rf"did:[a-z0-9]+:(?:[A-Za-z0-9._:-]|{_PERCENT})*(?<!:)(?:[/?#]{_URI_TEXT}*)?")
_URI = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*:{_URI_TEXT}+")


@dataclass(frozen=True, slots=True)
class SubjectIdentifier:
    """One name of one person: a format and the canonical values of its members, in the order of `MEMBERS`."""

    format: Format
    value: tuple[str, ...]
    """What is compared."""
    spelling: tuple[str, ...] = field(default=(), compare=False)
    """The same as it was given, where that differs: how a person writes their own address."""

    def to_json(self) -> dict[str, str]:
        """The identifier as RFC 9493 writes it, as it was given."""
        return {"format": self.format, **dict(zip(MEMBERS[self.format], self.spelling or self.value, strict=True))}


def iss_sub(iss: str, sub: str) -> SubjectIdentifier:
    """The identifier of an upstream (`iss`, `sub`) pair. Compared character by character (RFC 9493 section 3.2.3)."""
    return SubjectIdentifier("iss_sub", (iss, sub))


def parse_subject(data: object) -> tuple[SubjectIdentifier, ...]:
    """Read a subject identifier; `aliases` gives several, all of one person (RFC 9493 section 3.2.8).

    Raises InvalidRequest, naming the member, when it is not an object, its format is unknown, a member is missing,
    empty, null, malformed or foreign to the format (section 3), or `aliases` is empty, too long or nested.
    """
    members = _object(data)
    if members["format"] != ALIASES:
        return (parse_identifier(members),)
    _only(members, ("identifiers",))
    listed = members.get("identifiers")
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("an aliases subject needs `identifiers`, a list that is not empty")
    if len(listed) > MAX_ALIASES:
        raise InvalidRequest(f"an aliases subject may hold at most {MAX_ALIASES} identifiers")
    if any(isinstance(each, dict) and each.get("format") == ALIASES for each in listed):
        raise InvalidRequest("an aliases subject must not hold another aliases subject")
    return tuple(dict.fromkeys(parse_identifier(each) for each in listed))


def parse_identifier(data: object) -> SubjectIdentifier:
    """Read one identifier of any format but `aliases`. Raises InvalidRequest as `parse_subject` does."""
    members = _object(data)
    name = members["format"]
    if name not in MEMBERS:
        raise InvalidRequest(f"subject format is not supported; use one of {', '.join(sorted((*MEMBERS, ALIASES)))}")
    required = MEMBERS[cast("str", name)]
    _only(members, required)
    values = tuple(_text(members, member) for member in required)
    kind = cast("Format", name)
    compared = _canonical(kind, values)
    return SubjectIdentifier(kind, compared, spelling=values if values != compared else ())


def _canonical(kind: Format, values: tuple[str, ...]) -> tuple[str, ...]:
    match kind:
        case "email":
            return (_email(values[0]),)
        case "phone_number":
            if not _E164.fullmatch(values[0]):
                raise InvalidRequest("`phone_number` must be in E.164 form: `+`, country code, digits only")
            return values
        case "account":
            return (_account(values[0]),)
        case "did":
            if not _DID.fullmatch(values[0]):
                raise InvalidRequest("`url` of a did subject must be a DID URL")
            return values
        case "uri":
            if not _URI.fullmatch(values[0]):
                raise InvalidRequest("`uri` must be an absolute URI")
            return values
        case "iss_sub" | "opaque":
            return values


def _email(address: str) -> str:
    """Domain in lower case and IDNA form, local part case-folded (RFC 9493 section 3.2.2.1 leaves the latter to us).

    Dots and `+tags` stay: two mailboxes that a provider may keep apart are never merged here.
    """
    local, separator, domain = address.rpartition("@")
    if not separator or not local or not domain:
        raise InvalidRequest("`email` must be an address of the form local@domain")
    if "@" in local and not (len(local) > 2 and local[0] == local[-1] == '"'):
        raise InvalidRequest("`email` must hold one `@`; another only inside a quoted local part")
    if any(character.isspace() or not character.isprintable() for character in local):
        raise InvalidRequest("`email` must not hold spaces or control characters")
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).casefold())
    if len(folded.encode()) > MAX_LOCAL_PART:
        raise InvalidRequest(f"the local part of `email` is longer than {MAX_LOCAL_PART} octets")
    return f"{folded}@{_domain(domain)}"


def _account(uri: str) -> str:
    """Scheme and host in lower case and IDNA form; the user part as it is (RFC 7565 leaves its case to the host)."""
    found = _ACCT.fullmatch(uri)
    if not found:
        raise InvalidRequest("`uri` of an account subject must be an acct: URI (RFC 7565)")
    account = f"acct:{found[1]}@{_domain(found[2])}"
    if len(account) > MAX_MEMBER_LENGTH:  # a host grows on its way to IDNA
        raise InvalidRequest(f"`uri` is longer than {MAX_MEMBER_LENGTH} characters")
    return account


def _domain(domain: str) -> str:
    try:
        ascii_domain = idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise InvalidRequest("the domain is not a valid host name") from None
    if len(ascii_domain) > MAX_DOMAIN:
        raise InvalidRequest(f"the domain is longer than {MAX_DOMAIN} octets")
    return ascii_domain.lower().removesuffix(".")


def _object(data: object) -> dict[str, object]:
    if not isinstance(data, dict):
        raise InvalidRequest("a subject identifier must be a JSON object")
    if not isinstance(data.get("format"), str) or not data["format"]:
        raise InvalidRequest("a subject identifier needs `format`, a string")
    return data


def _only(members: dict[str, object], allowed: tuple[str, ...]) -> None:
    foreign = sorted(set(members) - {"format", *allowed})
    if foreign:
        # The names are the caller's own, and this text is logged: what is not plainly a name may be a person's.
        shown = ", ".join(repr(name) if _PLAIN_NAME.fullmatch(name) else "of another name" for name in foreign[:4])
        raise InvalidRequest(f"subject format {members['format']!r} has no member {shown}")


def _text(members: dict[str, object], member: str) -> str:
    value = members.get(member)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"subject format {members['format']!r} needs `{member}`, a string that is not empty")
    if len(value) > MAX_MEMBER_LENGTH:
        raise InvalidRequest(f"`{member}` is longer than {MAX_MEMBER_LENGTH} characters")
    if "\x00" in value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise InvalidRequest(f"`{member}` must not hold NUL or lone surrogates")
    return value
