"""Is it Okta that calls? The secret an event hook carries in `Authorization`: how it is kept, and compared.

Okta signs nothing here. It sends, with each delivery, the header and the value that an administrator typed into the hook's
two authentication fields.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Final, NoReturn

from service.domain.connection import Connection
from service.domain.identifiers import fingerprint
from service.errors import NotAuthenticated

MAX_SECRET_LENGTH: Final = 256
"""Longest secret, in characters: what a person can paste; 32 random ones are plenty."""

REFUSED: Final = "this is not the event hook's secret"
"""The one text for every refusal of a secret: whether there is such a connection is not for strangers to know."""

_BEARER: Final = "bearer "
_IN_A_HEADER: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)


def hash_hook_secret(secret: str) -> str:
    """The form in which an event hook's secret is kept and compared."""
    return fingerprint("okta_event_hook_secret", secret)


def check_hook_secret(secret: str) -> str:
    """The secret, when a header can carry it as it was typed (RFC 9110 section 5.5). Raises ValueError."""
    if not _IN_A_HEADER.fullmatch(secret):
        raise ValueError("must be printable ASCII, without spaces around it: it is sent in a header")
    return secret


def verify_hook_secret(given: Sequence[str], connection: Connection | None) -> Connection:
    """The connection, when `given`, every `Authorization` header of the request, is one that holds its hook's secret.

    The secret is the header's whole value, whatever an administrator chose (`Basic …`, a bare string), or what stands after
    `Bearer `. `connection` is None where there is none of that name. Raises NotAuthenticated, in one way for all who ask.
    """
    # 1. One credential, of bearable length (RFC 9110 section 5.3: this header is no list).
    if not given:
        _refuse("missing_hook_secret")
    if len(given) > 1 or len(given[0]) > MAX_SECRET_LENGTH + len(_BEARER):
        _refuse("malformed_hook_secret")

    # 2. Digests are compared, each of them always, so that neither content nor length shows in the time it takes.
    whole = given[0].strip()
    bare = whole[len(_BEARER) :].strip() if whole[: len(_BEARER)].lower() == _BEARER else whole
    kept = connection.options.okta_event_hook_secret_hash if connection else None
    expected = kept or fingerprint("no such secret")
    matches = [hmac.compare_digest(hash_hook_secret(each), expected) for each in (whole, bare)]

    # 3. A connection that does not exist, or has no hook, answers like one whose secret is another.
    if connection is None:
        _refuse("unknown_connection")
    if kept is None:
        _refuse("no_hook_secret")
    if not any(matches):
        _refuse("wrong_hook_secret")
    return connection


def _refuse(reason: str) -> NoReturn:
    raise NotAuthenticated(REFUSED, reason=reason)
