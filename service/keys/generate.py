"""New signing keys: one for each algorithm an application may ask its logout tokens in."""

from typing import Any, Final

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from service.domain.connection import SIGNING_ALGORITHMS

RSA_BITS: Final = 2048
"""Size of a new RSA modulus, in bits: the least RFC 7518 section 3.3 allows, and far quicker to sign with than more."""


def generate_signing_keys() -> dict[str, Any]:
    """A private JWKS (RFC 7517 section 5) with a key each for RS256, PS256, ES256 and EdDSA.

    A key is for one algorithm only (RFC 8725 section 3.1), so the two RSA algorithms have one each. Takes a few hundred
    milliseconds.
    """
    return {"keys": [generate_signing_key(each) for each in SIGNING_ALGORITHMS]}


def generate_signing_key(algorithm: str) -> dict[str, Any]:
    """A private JWK for one of SIGNING_ALGORITHMS.

    `kid` is the thumbprint (RFC 7638): whoever holds the key can tell its name.
    """
    key = _new(algorithm)
    return {**key.as_dict(private=True), "kid": key.thumbprint(), "use": "sig", "alg": algorithm}


def _new(algorithm: str) -> Key:
    match algorithm:
        case "RS256" | "PS256":
            return RSAKey.generate_key(RSA_BITS)
        case "ES256":
            return ECKey.generate_key("P-256")
        case "EdDSA":
            return OKPKey.generate_key("Ed25519")
        case _:
            raise ValueError(f"no keys are made for {algorithm}")
