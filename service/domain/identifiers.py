"""Names we mint: prefixed, so that a log line or a leak says what it holds."""

import base64
import hashlib
import re
import secrets
from typing import Final

RANDOM_BYTES = 16
"""Randomness in an ordinary id, in bytes: 128 bits, never a secret by itself."""

KEPT = "kept_"
"""What the id of a kept logout token begins with."""

TOKEN_BYTES = 32
"""Randomness in a secret we mint (refresh token, client secret), in bytes: 256 bits."""

_CLIENT_SECRET: Final = re.compile(r"logoutd_cs_[A-Za-z0-9_-]{43}", re.ASCII)


def new_connection_id() -> str:
    """A connection's id, `con_…`."""
    return f"con_{_random()}"


def new_client_id() -> str:
    """A client_id for a registration that names none, `app_…` (RFC 7591 section 3.2.1)."""
    return f"app_{_random()}"


def new_session_id() -> str:
    """A session's id, `ses_…`; also the `sid` of clients that have none of their own."""
    return f"ses_{_random()}"


def new_refresh_token_id() -> str:
    """A refresh token's public name, `rt_…`: safe to log, useless to spend."""
    return f"rt_{_random()}"


def new_refresh_token() -> str:
    """A refresh token, `logoutd_rt_…`: opaque, 256 random bits, recognisable in a leak."""
    return f"logoutd_rt_{secrets.token_urlsafe(TOKEN_BYTES)}"


def new_client_secret() -> str:
    """A client secret, `logoutd_cs_…`: 256 random bits, shown once."""
    return f"logoutd_cs_{secrets.token_urlsafe(TOKEN_BYTES)}"


def may_be_client_secret(text: str) -> bool:
    """Whether it has the form of one: nothing else ever was one."""
    return _CLIENT_SECRET.fullmatch(text) is not None


def new_revocation_id() -> str:
    """A revocation's id, `rev_…`, for requests that carry no name of their own."""
    return f"rev_{_random()}"


def revocation_id_for(*parts: str) -> str:
    """The id of the revocation that this very request asks for.

    Derived, not drawn: the same request again has the same id, so recording it twice is recording it once, whichever
    process, pod or retry comes second.
    """
    return f"rev_{_digest('revocation', *parts)}"


def user_id_for(connection_id: str, iss: str, sub: str) -> str:
    """The id of the person an upstream (`iss`, `sub`) names through one connection.

    Derived, so that two sign-ins that race agree on it. The connection's id, which is random, keeps the same upstream
    person apart in two connections.
    """
    return f"usr_{_digest('user', connection_id, iss, sub)}"


def delivery_id_for(revocation_id: str, user_id: str, client_id: str, sub: str, sid: str | None) -> str:
    """The id of the delivery a revocation owes to one client about one person, by its `sub` (and one `sid`, where it wants).

    The person is in it: a client may know two of them, such as an account made anew upstream, by one `sub`.

    It carries the revocation's own part, so that the revocation can be found from it (`revocation_id_of`).
    """
    owed = _digest("delivery", revocation_id, user_id, client_id, sub, "" if sid is None else f"={sid}")
    return f"dlv_{revocation_id.removeprefix('rev_')}_{owed[:13]}"


def kept_token_id_for(connection_id: str, text: str) -> str:
    """The id under which an unverified logout token is kept, `kept_…`; the same token has the same one."""
    return f"{KEPT}{_digest('kept', connection_id, text)}"


def revocation_id_of(delivery_id: str) -> str:
    """The revocation a delivery belongs to. ValueError when it is no delivery's id."""
    prefix, _, rest = delivery_id.partition("_")
    body, _, owed = rest.rpartition("_")
    if prefix != "dlv" or not body or not owed:
        raise ValueError("not a delivery id")
    return f"rev_{body}"


def fingerprint(*parts: str | bytes) -> str:
    """SHA-256 over length-prefixed parts, in hexadecimal: no choice of parts collides with another (no in-band delimiter)."""
    return _hash(*parts).hexdigest()


def _digest(*parts: str) -> str:
    return base64.b32encode(_hash(*parts).digest()[:RANDOM_BYTES]).decode().rstrip("=").lower()


def _hash(*parts: str | bytes) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for part in parts:
        # JSON can write a lone surrogate, which strict UTF-8 refuses: a stranger's string must hash, not raise.
        raw = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest


def _random() -> str:
    return base64.b32encode(secrets.token_bytes(RANDOM_BYTES)).decode().rstrip("=").lower()
