"""From bytes to a request: a good one for a door, with whatever the bytes say changed in it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote_from_bytes, urlencode

from tests.support import tokens
from tests.support.asgi import bcl_path, gtr_path, gtr_url
from tests.support.fuzzing.choices import Choices
from tests.support.identity_provider import CLIENT_ID, IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event, okta_user

Door = Literal["global_token_revocation", "backchannel_logout", "event_hook", "challenge"]

DOORS: Final[tuple[Door, ...]] = ("global_token_revocation", "backchannel_logout", "event_hook", "challenge")

EMAIL: Final = "Ada.Lovelace@Example.com"
"""Of the person all requests are about."""

PHONE_NUMBER: Final = "+49301234567"

SUB: Final = "00u1ada"

MEMBERS: Final = (
    *("sub_id", "subject", "format", "email", "iss", "sub", "id", "identifiers", "phone_number", "uri", "url", "aud"),
    *("exp", "iat", "nbf", "jti", "events", "nonce", "sid", "txn", "typ", "alg", "kid", "crit", "b64", "cty", "jku"),
    *("jwk", "x5c", "zip", "enc", "epk", "data", "eventType", "published", "target", "outcome", "actor", "uuid"),
    *("alternateId", "type", "detailEntry", "http://schemas.openid.net/event/backchannel-logout"),
)
"""The names that some reader looks for."""

HEADERS: Final = (
    *(b"content-type", b"authorization", b"content-length", b"transfer-encoding", b"content-encoding", b"host"),
    *(b"x-okta-verification-challenge", b"x-forwarded-for", b"accept", b"x-request-id", b"expect", b"cookie"),
)

VALUES: Final = (
    *(b"application/json", b"application/x-www-form-urlencoded", b"text/plain", b"multipart/form-data; boundary=x"),
    *(b"application/json; charset=utf-16", b"Bearer ", b"Basic eA==", b"Bearer a b", b"gzip", b"chunked", b"-1", b""),
    *(b"application/secevent+jwt", b"BEARER x", b"99999999999999999999", b"100-continue"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent, and what of it must stand in no log and no answer."""

    door: Door
    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    secrets: frozenset[str]


def request_of(data: bytes, *, idp: IdentityProvider, now_s: int) -> Request:
    """The request that these bytes stand for."""
    choices = Choices(data)
    door = choices.one_of(DOORS)
    headers: list[tuple[bytes, bytes]] = []
    secrets = {HOOK_SECRET, EMAIL, PHONE_NUMBER}
    # A slash would make it the address of something else.
    name = choices.text().replace("/", "|") or "okta" if choices.seldom() else "okta"
    match door:
        case "global_token_revocation":
            method, path = "POST", gtr_path(_quoted(name))
            claims = idp.claims(audience=gtr_url("okta"), client_id=CLIENT_ID, now_s=now_s)
            token = _token(choices, claims, idp.header("ES256"), idp)
            secrets |= _telling(token)
            headers = [(b"content-type", b"application/json"), (b"authorization", _latin(f"Bearer {token}"))]
            body = _json(choices, _subject(choices, idp))
        case "backchannel_logout":
            method, path = "POST", bcl_path(_quoted(name))
            claims = idp.logout_claims(sub=SUB, sid="upstream", now_s=now_s)
            token = _token(choices, claims, {"typ": "logout+jwt", "alg": "RS256", "kid": idp.keys["RS256"].kid}, idp)
            secrets |= _telling(token)
            headers = [(b"content-type", b"application/x-www-form-urlencoded")]
            body = _form(choices, token)
        case "event_hook":
            method, path = "POST", hook_path(_quoted(name))
            secret = choices.text() if choices.seldom() else HOOK_SECRET
            headers = [(b"content-type", b"application/json"), (b"authorization", _latin(secret))]
            event = okta_event("user.session.clear", at_ms=now_s * 1000, target=[okta_user(SUB, EMAIL)])
            body = _json(choices, okta_batch(*[event] * (1 + choices.number(2))))
        case "challenge":
            method, path, body = "GET", hook_path(_quoted(name)), b""
            headers = [(b"x-okta-verification-challenge", choices.raw())]
    if choices.seldom():
        method = choices.one_of(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
    for _ in range(choices.number(2)):
        _bend_headers(choices, headers)
    return Request(
        door=door,
        method=method,
        path=path,
        headers=tuple(headers),
        body=body,
        secrets=frozenset(each for each in secrets if len(each) >= 12),
    )


def _telling(token: str) -> set[str]:
    """What of a token betrays it: the whole, and each part of one that begins as they do."""
    return {token} | {part for part in token.split(".") if token.startswith("eyJ") and len(part) > 16}


def _subject(choices: Choices, idp: IdentityProvider) -> dict[str, Any]:
    email = {"format": "email", "email": EMAIL}
    return choices.one_of(
        (
            {"sub_id": email},
            {"subject": email},
            {"sub_id": {"format": "iss_sub", "iss": idp.issuer, "sub": SUB}},
            {"sub_id": {"format": "aliases", "identifiers": [email, {"format": "opaque", "id": "employee-7"}]}},
            {"sub_id": {"format": "phone_number", "phone_number": PHONE_NUMBER}},
        )
    )


def _token(choices: Choices, claims: Mapping[str, Any], header: Mapping[str, Any], idp: IdentityProvider) -> str:
    """A token: good, with bent claims and a good signature, or broken on the outside."""
    claims = _bent(choices, dict(claims))
    header = _bent(choices, dict(header))
    named = header.get("alg")
    alg = named if isinstance(named, str) and named in idp.keys else "ES256"
    signed = tokens.signed(_written(claims), key=idp.keys[alg], alg=alg, header=_written(header))
    ways: tuple[Callable[[], str], ...] = (
        lambda: signed,
        lambda: signed,
        lambda: signed,
        lambda: tokens.signed(choices.raw(), key=idp.keys[alg], alg=alg, header=_written(header)),
        lambda: tokens.signed(_written(claims), key=idp.keys[alg], alg=alg, header=choices.raw()),
        lambda: tokens.unsigned(_written(claims), header=_written({**header, "alg": "none"})),
        lambda: tokens.signed_with_public_key(
            _written(claims), key=idp.keys[alg], header=_written({**header, "alg": "HS256"})
        ),
        lambda: signed[: choices.number(1000)],
        lambda: signed + choices.text(),
        lambda: f"{signed}.{choices.text()}.{choices.text()}",
        lambda: ".".join(tokens.base64url(choices.raw()) for _ in range(choices.number(5))),
        lambda: _edited(choices, signed.encode()).decode("latin-1"),
        lambda: choices.text() * (1 + choices.number(2000)),
    )
    return choices.one_of(ways)()


def _bent(choices: Choices, members: dict[str, Any]) -> dict[str, Any]:
    """Some members replaced, left out or added, at any depth."""
    for _ in range(choices.number(2)):
        inside: Any = members
        while isinstance(inside, dict) and inside and choices.seldom():
            inside = choices.one_of(list(inside.values()))
            if isinstance(inside, list) and inside:
                inside = choices.one_of(inside)
        target = inside if isinstance(inside, dict) else members
        name = choices.one_of([*target, *MEMBERS]) if not choices.seldom() else choices.text()
        if choices.seldom():
            target.pop(name, None)
        else:
            target[name] = choices.value()
    return members


def _json(choices: Choices, good: dict[str, Any]) -> bytes:
    good = json.loads(json.dumps(good))
    written = _written(_bent(choices, good))
    match choices.number(7):
        case 1:
            return _edited(choices, written)
        case 2:
            return choices.raw()
        case 3:
            return b"[" * choices.number(5000) + written
        case 4:
            return written + choices.raw()
        case 5:
            return written[:-1] + b"," + written[1:] if len(written) > 2 else written
        case 6:
            return _written(choices.value())
        case 7:
            return written.decode("utf-8", "replace").encode(choices.one_of(("utf-16", "utf-8-sig", "utf-32")))
        case _:
            return written


def _form(choices: Choices, token: str) -> bytes:
    pairs = [("logout_token", token)]
    names = ("logout_token", "state", "", "logout_token[]")
    pairs += [(choices.one_of(names), choices.text()) for _ in range(choices.number(2))]
    good = urlencode(pairs, errors="surrogateescape").encode()
    match choices.number(4):
        case 1:
            return _edited(choices, good)
        case 2:
            return choices.raw()
        case 3:
            return good + b"&a=b" * choices.number(100)
        case _:
            return good


def _edited(choices: Choices, text: bytes) -> bytes:
    edited = bytearray(text)
    for _ in range(1 + choices.number(3)):
        place = choices.number(max(1, len(edited)))
        match choices.number(2):
            case 0:
                edited[place : place + 1] = bytes([choices.byte()])
            case 1:
                edited[place:place] = choices.raw(8)
            case _:
                del edited[place : place + 1 + choices.number(20)]
    return bytes(edited)


def _bend_headers(choices: Choices, headers: list[tuple[bytes, bytes]]) -> None:
    name = choices.one_of(HEADERS)
    value = choices.one_of(VALUES) if not choices.seldom() else choices.raw() * (1 + choices.number(400))
    match choices.number(3):
        case 0:
            headers[:] = [each for each in headers if each[0] != name]
        case 1:
            headers.append((name, value))
        case 2:
            headers[:] = [each for each in headers if each[0] != name] + [(name, value)]
        case _:
            headers.append(headers[0] if headers else (name, value))


def _written(value: Any) -> bytes:
    """As JSON; NaN and lone surrogates stand there as Python writes them."""
    return json.dumps(value, separators=(",", ":")).encode()


def _latin(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _quoted(name: str) -> str:
    return quote_from_bytes(_latin(name), safe="")
