"""Tokens by hand, good and broken: whatever a sender could put on the wire, down to the bytes."""

import base64
import hmac
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from service.domain.connection import SIGNING_ALGORITHMS

PrivateKey = RSAKey | ECKey | OKPKey

Part = Mapping[str, Any] | bytes
"""A header or a payload: what is to be written as JSON, or the bytes themselves."""

REMOVED: Final = object()
"""As the value of an override: leave this member out."""


def private_key(alg: str, number: int = 1) -> PrivateKey:
    """A signing key for `alg`, the same one for the same `number` all through the process: RSA keys are slow to make."""
    return _private_key(alg, number)


@cache
def _private_key(alg: str, number: int) -> PrivateKey:
    kid = f"{alg.lower()}-{number}"
    match alg:
        case "RS256" | "PS256":
            return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": alg})
        case "ES256":
            return ECKey.generate_key("P-256", {"kid": kid, "use": "sig", "alg": alg})
        case "EdDSA":
            return OKPKey.generate_key("Ed25519", {"kid": kid, "use": "sig", "alg": alg})
        case _:
            raise ValueError(f"no key for {alg}")


def public_jwk(key: PrivateKey) -> dict[str, Any]:
    """The public half, as a JWKS holds it."""
    return dict(key.as_dict(private=False))


def kids(found: Iterable[Key]) -> list[str | None]:
    """Which of the first two keys of each algorithm these are, told by the keys themselves: they need carry no `kid`."""
    names = {
        key.thumbprint(): key.kid
        for key in (private_key(alg, number) for alg in SIGNING_ALGORITHMS for number in (1, 2))
    }
    return [names.get(key.thumbprint()) for key in found]


def signed(payload: Part, *, key: PrivateKey, alg: str, header: Part) -> str:
    """A compact JWS that `key` signs by `alg`, whatever the header says."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{base64url(JWSRegistry.algorithms[alg].sign(signing_input.encode(), key))}"


def unsigned(payload: Part, *, header: Part) -> str:
    """A JWT with an empty signature (RFC 7518 section 3.6)."""
    return f"{encoded(header)}.{encoded(payload)}."


def signed_with_public_key(payload: Part, *, key: PrivateKey, header: Part) -> str:
    """The classic forgery: HMAC with the public key's PEM, which everybody has, as the shared secret."""
    signing_input = f"{encoded(header)}.{encoded(payload)}"
    return f"{signing_input}.{base64url(hmac.digest(key.as_pem(private=False), signing_input.encode(), 'sha256'))}"


def overridden(members: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`members` with `overrides` laid over them; REMOVED takes one out."""
    return {name: value for name, value in {**members, **overrides}.items() if value is not REMOVED}


def encoded(part: Part) -> str:
    """A header or a payload as it stands in a compact JWS."""
    return base64url(part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode())


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
