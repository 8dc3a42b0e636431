"""A signed JWT before its claims are looked at: read, its signature checked with the connection's keys, opened.

Every kind of JWT a connection may send passes through here; what a kind demands of its claims is in a module of its own.
"""

import base64
import binascii
import json
import math
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from joserfc.jwk import Key

from service.domain.connection import SIGNING_ALGORITHMS, Connection
from service.errors import NotAuthenticated
from service.keys.algorithms import MAX_HEADER_LENGTH, algorithm_name, verify_with
from service.verify.issuer_keys import IssuerKeys

MAX_TOKEN_LENGTH: Final = 8192
"""Longest token, in characters: the ones in use have under 2 000."""

CREDENTIAL_REFUSED: Final = "the token is not one this connection accepts"
"""The one answer to every refusal that depends on a connection or its keys: it does not tell which connections exist."""

_THUMBPRINTS: Final = ("x5t", "x5t#S256")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedToken:
    """A token as it was sent: well-formed, and nothing in it believed yet."""

    text: str = field(repr=False)
    alg: str
    """One of SIGNING_ALGORITHMS."""
    kid: str | None
    typ: str | None
    thumbprints: frozenset[str] = frozenset()
    """Its `x5t` and `x5t#S256`: by which of the pinned certificates it says it was signed."""


def refuse(reason: str, message: str) -> NoReturn:
    """The one way a token is refused: `reason` for the log, `message` for the caller."""
    raise NotAuthenticated(message, reason=reason) from None


def read_token(text: str) -> SignedToken:
    """Read a compact JWS (RFC 7515 section 7.1) without believing it. Raises NotAuthenticated."""
    if len(text) > MAX_TOKEN_LENGTH:
        refuse("malformed_token", f"the token has {len(text)} characters; at most {MAX_TOKEN_LENGTH} are read")
    parts = text.split(".")
    if len(parts) != 3:
        refuse("malformed_token", f"the token has {len(parts)} parts; a signed JWT has 3 (RFC 7515 section 7.1)")
    if len(parts[0]) > MAX_HEADER_LENGTH:
        refuse("malformed_token", f"the token's header is longer than {MAX_HEADER_LENGTH} characters")
    try:
        encoded_header, _payload, _signature = (_base64url(part) for part in parts)
    except ValueError:
        refuse("malformed_token", "the token's parts are not base64url without padding (RFC 7515 section 2)")
    header = _object(encoded_header)
    if header is None:
        refuse("malformed_token", "the token's header is not a JSON object with each member once (RFC 7515 section 4)")

    alg = algorithm_name(header.get("alg"))
    if alg is None:
        refuse("unsupported_algorithm", f"the token's `alg` is none of {', '.join(SIGNING_ALGORITHMS)}")
    # RFC 7515 section 4.1.11: a token whose sender insists on an extension is refused by those who do not know it, and we
    # know none. `b64` (RFC 7797) changes what is signed and is only valid beside `crit`.
    if "crit" in header or "b64" in header:
        refuse("unsupported_header", "the token's header has `crit` or `b64`; no extension of JWS is supported")
    for name in ("kid", "typ", *_THUMBPRINTS):
        if name in header and not isinstance(header[name], str):
            refuse("malformed_token", f"the token's `{name}` is not a string (RFC 7515 section 4.1)")
    return SignedToken(
        text=text,
        alg=alg,
        kid=header.get("kid"),
        typ=header.get("typ"),
        thumbprints=frozenset(header[name] for name in _THUMBPRINTS if name in header),
    )


async def signed_payload(
    token: SignedToken, *, connection: Connection, algorithms: Container[str], keys: IssuerKeys
) -> bytes:
    """The payload of a token that one of the connection's own keys signed, by one of these algorithms.

    Raises NotAuthenticated with one message for every cause, and Unavailable when the keys cannot be had.
    """
    # RFC 8725 section 3.1: the algorithm is chosen by what we know of the connection, not by the token.
    if token.alg not in algorithms:
        refuse("algorithm_not_allowed", CREDENTIAL_REFUSED)
    # RFC 8725 sections 3.8 and 3.10: only keys of this connection's issuer; `jwk`, `jku`, `x5u` and `x5c` are never read.
    # A thumbprint chooses among the certificates we have.
    candidates = await keys.candidates(connection, alg=token.alg, kid=token.kid, thumbprints=token.thumbprints)
    if not candidates:
        # Certificates are not looked up by `kid`: with none to try, none is valid now, or none is for this algorithm.
        refuse("no_valid_certificate" if connection.options.signing_certificates else "unknown_kid", CREDENTIAL_REFUSED)
    payload = _open(token, candidates)
    if payload is None and token.kid is None:
        # A token that names no key leaves one other sign of a rotation: no key fits its signature.
        payload = _open(token, await keys.candidates_after_bad_signature(connection, alg=token.alg))
    if payload is None:
        refuse("bad_signature", CREDENTIAL_REFUSED)
    return payload


def unverified_payload(token: SignedToken) -> bytes:
    """What a token says, whoever wrote it: good for refusing it early, and for nothing else."""
    return _base64url(token.text.split(".")[1])


def read_claims(payload: bytes) -> Mapping[str, Any]:
    """The claims set of a token whose signature is good (RFC 7519 section 4). Raises NotAuthenticated."""
    claims = _object(payload)
    if claims is None:
        refuse("malformed_claims", "the token's claims are not a JSON object with each member once and finite numbers")
    return claims


def _open(token: SignedToken, candidates: tuple[Key, ...]) -> bytes | None:
    for key in candidates:
        payload = verify_with(token.text, key, token.alg)
        if payload is not None:
            return payload
    return None


def _base64url(part: str) -> bytes:
    decoded = base64.b64decode((part + "=" * (-len(part) % 4)).encode("ascii"), altchars=b"-_", validate=True)
    # One spelling per value: no padding, no stray bits at the end.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise binascii.Error("not canonical")
    return decoded


def _object(encoded: bytes) -> dict[str, Any] | None:
    """A JSON object, read strictly: UTF-8, no member twice at any depth, no number that is not one. None when it is none."""
    try:
        value = json.loads(
            encoded.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_finite, parse_float=_finite
        )
    except (ValueError, RecursionError):
        # ValueError covers JSON, Unicode, and an integer of more digits than Python reads.
        return None
    return value if isinstance(value, dict) else None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member appears twice")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number
