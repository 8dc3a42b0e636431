"""Encrypted tokens (RFC 7516): opened with our own key before anything else; what is inside must still be signed."""

import base64
import json
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from service.errors import InvalidRequest
from service.keys.algorithms import MAX_RSA_BITS, MIN_RSA_BITS
from service.verify.signed_token import MAX_TOKEN_LENGTH, refuse

KEY_MANAGEMENT: Final = ("RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")
"""The `alg` values we open (RFC 7518 section 4.1): public keys only, and never RSA1_5, whose padding can be probed."""

CONTENT_ENCRYPTION: Final = ("A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM")
"""The `enc` values we open (RFC 7518 section 5.1). No `zip`: a small token must not become a large one."""

MAX_ENCRYPTED_LENGTH: Final = 2 * MAX_TOKEN_LENGTH
"""Longest encrypted token, in characters: what is inside grows by a third, and its key comes on top."""

_UNREADABLE: Final = "the token cannot be decrypted with the key of this connection"


def is_encrypted(text: str) -> bool:
    """Whether a compact token is a JWE: five parts (RFC 7516 section 9)."""
    return text.count(".") == 4


def check_decryption_key(jwk: dict[str, Any]) -> None:
    """Raise InvalidRequest when a JWK cannot open what is encrypted to it: public, signing, too weak, of another type."""
    if jwk.get("use") not in (None, "enc"):
        raise InvalidRequest("`decryption_jwk` must be for encryption: `use` is `enc` or absent")
    key = _import(jwk)
    match key:
        case RSAKey():
            fits = True
        case ECKey() | OKPKey():
            fits = key.curve_name in {"P-256", "P-384", "P-521", "X25519"}
        case _:
            fits = False
    if not fits:
        raise InvalidRequest("`decryption_jwk` must be a private RSA, EC (P-256, P-384, P-521) or X25519 key")


def decrypt(text: str, jwk: str) -> str:
    """The signed token inside an encrypted one. `jwk`: our private key, as JSON. Raises NotAuthenticated."""
    if len(text) > MAX_ENCRYPTED_LENGTH:
        refuse("malformed_token", f"the token has {len(text)} characters; at most {MAX_ENCRYPTED_LENGTH} are read")
    registry = jwe.JWERegistry(algorithms=[*KEY_MANAGEMENT, *CONTENT_ENCRYPTION], strict_check_header=False)
    try:
        opened = jwe.decrypt_compact(text, _import(json.loads(jwk)), registry=registry)
        if "zip" in opened.headers() or opened.plaintext is None:
            refuse("undecryptable", _UNREADABLE)
        return opened.plaintext.decode("ascii")
    except (JoseError, ValueError, TypeError, KeyError, AssertionError, UnsupportedAlgorithm, InvalidRequest):
        # One answer whatever went wrong: what can be told apart can be probed.
        refuse("undecryptable", _UNREADABLE)


def _import(jwk: dict[str, Any]) -> Key:
    try:
        # Before joserfc reads it, which would but warn.
        if jwk.get("kty") == "RSA" and not MIN_RSA_BITS <= _bits(jwk["n"]) <= MAX_RSA_BITS:
            raise InvalidRequest(f"`decryption_jwk` must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
        # Only what makes the key: `alg` and `key_ops` are the operator's notes, and joserfc would hold us to them.
        members = ("kty", "crv", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y")
        key = JWKRegistry.import_key({name: jwk[name] for name in members if name in jwk})
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
        raise InvalidRequest("`decryption_jwk` cannot be read as a key") from None
    if not key.is_private:
        raise InvalidRequest("`decryption_jwk` holds no private key")
    return key


def _bits(number: str) -> int:
    raw = base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))
    return int.from_bytes(raw, "big").bit_length()
