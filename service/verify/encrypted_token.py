"""Encrypted tokens (RFC 7516): opened with our own key before anything else; what is inside must still be signed."""

import base64
import json
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey

from service.errors import InvalidRequest
from service.keys.algorithms import MAX_RSA_BITS, MIN_RSA_BITS
from service.verify.signed_token import CREDENTIAL_REFUSED, MAX_TOKEN_LENGTH, refuse

KEY_MANAGEMENT: Final = ("RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")
"""The `alg` values we open (RFC 7518 section 4.1): public keys only, and never RSA1_5, whose padding can be probed."""

CONTENT_ENCRYPTION: Final = ("A128CBC-HS256", "A256CBC-HS512", "A128GCM", "A256GCM")
"""The `enc` values we open (RFC 7518 section 5.1). No `zip`: a small token must not become a large one."""

MAX_ENCRYPTED_LENGTH: Final = 2 * MAX_TOKEN_LENGTH
"""Longest encrypted token, in characters: what is inside grows by a third, and its key comes on top."""

MAX_KEYS: Final = 256
"""Most keys of ours remembered as they were read. To read an RSA key, which is to check its primes, takes a hundred times
as long as to open a token, and strangers may send what looks like one."""


_WRONG_KEY: Final = (
    f"`decryption_jwk` must be a private key: RSA ({MIN_RSA_BITS} to {MAX_RSA_BITS} bits), EC (P-256, P-384, P-521) or "
    "X25519"
)


def is_encrypted(text: str) -> bool:
    """Whether a compact token is a JWE: five parts (RFC 7516 section 9)."""
    return text.count(".") == 4


def check_decryption_key(jwk: dict[str, Any]) -> None:
    """Raise InvalidRequest when a JWK cannot open what is encrypted to it: public, signing, too weak, of another type."""
    if jwk.get("use") not in (None, "enc"):
        raise InvalidRequest("`decryption_jwk` must be for encryption: `use` is `enc` or absent")
    key = _import(jwk)
    if isinstance(key, ECKey | OKPKey) and key.curve_name not in {"P-256", "P-384", "P-521", "X25519"}:
        raise InvalidRequest(_WRONG_KEY)


def decrypt(text: str, jwk: str) -> str:
    """The signed token inside an encrypted one. `jwk`: our private key, as JSON. Raises NotAuthenticated."""
    if len(text) > MAX_ENCRYPTED_LENGTH:
        refuse("malformed_token", f"the token has {len(text)} characters; at most {MAX_ENCRYPTED_LENGTH} are read")
    registry = jwe.JWERegistry(algorithms=[*KEY_MANAGEMENT, *CONTENT_ENCRYPTION], strict_check_header=False)
    try:
        opened = jwe.decrypt_compact(text, _ours(jwk), registry=registry)
        if "zip" in opened.headers() or opened.plaintext is None:
            refuse("undecryptable", CREDENTIAL_REFUSED)
        return opened.plaintext.decode("ascii")
    except (JoseError, ValueError, TypeError, KeyError, AssertionError, UnsupportedAlgorithm, InvalidRequest):
        # One answer whatever went wrong: what can be told apart can be probed.
        refuse("undecryptable", CREDENTIAL_REFUSED)


@lru_cache(maxsize=MAX_KEYS)
def _ours(jwk: str) -> Key:
    """A connection's key, read once: to read and check an RSA key takes as long as hundreds of signature checks, and anybody
    may send something that looks encrypted."""
    return _import(json.loads(jwk))


def _import(jwk: dict[str, Any]) -> Key:
    try:
        # Only what makes the key: `alg` and `key_ops` are the operator's notes, and joserfc would hold us to them.
        members = ("kty", "crv", "n", "e", "d", "p", "q", "dp", "dq", "qi", "x", "y")
        # The size first: what is done with a longer one takes seconds, and joserfc takes a shorter one with a warning.
        if jwk["kty"] == "RSA" and not MIN_RSA_BITS <= _bits(jwk["n"]) <= MAX_RSA_BITS:
            raise InvalidRequest(_WRONG_KEY)
        key = JWKRegistry.import_key({name: jwk[name] for name in members if name in jwk})
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, UnsupportedAlgorithm):
        raise InvalidRequest("`decryption_jwk` cannot be read as a key") from None
    if not key.is_private:
        raise InvalidRequest("`decryption_jwk` holds no private key")
    # joserfc makes an OKP key of `d` alone; the identity provider would encrypt to what `x` says.
    if isinstance(key, OKPKey) and jwk["x"] != _base64url(key.public_key.public_bytes_raw()):
        raise InvalidRequest("`decryption_jwk` is not the private key of the public one in it")
    return key


def _bits(number: str) -> int:
    raw = base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))
    return int.from_bytes(raw, "big").bit_length()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
