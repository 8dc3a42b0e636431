"""New signing keys: one for each algorithm an application may ask its logout tokens in."""

from typing import Any, Final

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

RSA_BITS: Final = 2048
"""Size of a new RSA modulus, in bits: the least RFC 7518 section 3.3 allows, and far quicker to sign with than more."""


def generate_signing_keys() -> dict[str, Any]:
    """A private JWKS (RFC 7517 section 5) with a key each for RS256, PS256, ES256 and EdDSA.

    A key is for one algorithm only (RFC 8725 section 3.1), so the two RSA algorithms have one each. `kid` is the
    thumbprint (RFC 7638): whoever holds the key can tell its name. Takes a few hundred milliseconds.
    """
    keys: dict[str, Key] = {
        "RS256": RSAKey.generate_key(RSA_BITS),
        "PS256": RSAKey.generate_key(RSA_BITS),
        "ES256": ECKey.generate_key("P-256"),
        "EdDSA": OKPKey.generate_key("Ed25519"),
    }
    return {
        "keys": [
            {**key.as_dict(private=True), "kid": key.thumbprint(), "use": "sig", "alg": algorithm}
            for algorithm, key in keys.items()
        ]
    }
