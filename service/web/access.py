"""Who calls the management API: the administrator, or an application for itself."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from service.domain.application import Application
from service.domain.audit import Actor, acts
from service.domain.identifiers import fingerprint, may_be_client_secret
from service.errors import InvalidRequest, NotAllowed, NotAuthenticated
from service.web.bodies import is_form, read_form
from service.web.source import source_of
from service.web.state import Request, resources_of, throttles_of

MAX_AUTHORIZATION: Final = 8192 + 16
"""Longest Authorization header read, in characters: the longest token, and its scheme."""

ADMINISTRATOR: Final = "administrator"
"""The account whose wrong tokens are counted."""

FORM_SCHEMAS: Final[Mapping[str, Mapping[str, Any]]] = {
    "token": {"type": "string", "minLength": 1, "description": "Of any length; what is too long is no token of ours."},
    "token_type_hint": {"type": "string", "description": "`refresh_token`; introspection knows `session` too."},
    "client_id": {"type": "string", "description": "With `client_secret`: in place of the Authorization header."},
    "client_secret": {"type": "string"},
}
"""The parameters of the forms applications send, as JSON schemas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls. `application` is None for the administrator, who may do everything."""

    application: Application | None

    @property
    def is_administrator(self) -> bool:
        """Whether it is the administrator."""
        return self.application is None

    def require_self(self, client_id: str) -> None:
        """Raise NotAllowed when an application acts for another than itself."""
        if self.application is not None and self.application.client_id != client_id:
            raise NotAllowed("an application may act for itself only")


def bearer_token(request: Request) -> str:
    """The bearer token of a request, in its header and nowhere else (RFC 6750 section 2.1). Raises NotAuthenticated."""
    given = request.headers.getlist("authorization")
    if not given:
        raise NotAuthenticated("no bearer token was sent", reason="missing_token")
    if len(given) > 1 or len(given[0]) > MAX_AUTHORIZATION:
        raise NotAuthenticated("the Authorization header is there twice or too long", reason="malformed_token")
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or " " in token.strip():
        raise NotAuthenticated("the Authorization header must be `Bearer` and one token", reason="malformed_token")
    return token.strip()


def require_administrator(request: Request) -> Caller:
    """Raise NotAuthenticated unless an administrator's token was sent, TooManyRequests after too many wrong ones.

    A right one is heard however many wrong ones came: behind a proxy that is not named strangers have the administrator's
    address, and could lock them out. Whoever guesses gains nothing by it where a token is too long to be guessed; of a shorter
    one no more is looked at than the bound allows, but from an address it was right from within the hour.
    """
    given = bearer_token(request)
    attempts, source = throttles_of(request).attempts, source_of(request)
    settings = resources_of(request).settings
    # Digests are compared, each of them always, so that neither content nor length shows in the time it takes. None set:
    # nobody enters.
    digest = hashlib.sha256(given.encode(errors="surrogatepass")).hexdigest()
    matches = [hmac.compare_digest(digest, each) for each in settings.admin_token_digests]
    guessable = digest in settings.guessable_admin_token_digests
    if not any(matches) or guessable:
        attempts.admit(source, ADMINISTRATOR, given)
    if not any(matches):
        attempts.failed(source, ADMINISTRATOR)
        raise NotAuthenticated("this is not the administrator's token", reason="wrong_admin_token")
    if guessable:
        attempts.succeeded(source, ADMINISTRATOR, given)
    acts(Actor(type="operator", id=given))
    return Caller(application=None)


async def require_caller(request: Request) -> Caller:
    """The administrator by bearer token, or an application by its secret (RFC 6749 section 2.3.1)."""
    given = request.headers.getlist("authorization")
    if len(given) != 1 or given[0].partition(" ")[0].lower() != "basic":
        return require_administrator(request)
    return await _application(request, *_basic(given[0]))


async def read_form_of_caller(request: Request) -> tuple[Caller, dict[str, str]]:
    """Who calls, and the form they sent; an application may have put `client_id` and `client_secret` into it (RFC 6749 section
    2.3.1). Raises NotAuthenticated, UnsupportedMediaType, or InvalidRequest when it proves itself in two ways (section 2.3).

    A credential in the header is looked at before the form is, so that no stranger learns what is wrong with their form.
    """
    if request.headers.getlist("authorization"):
        caller = await require_caller(request)
        form = await read_form(request)
        # A parameter without a value counts as one that was not sent (section 3.2).
        if form.get("client_secret"):
            raise InvalidRequest("a credential in the Authorization header and another in the form are one too many")
        named = form.get("client_id")
        if named and caller.application is not None and caller.application.client_id != named:
            raise InvalidRequest("`client_id` names another client than the Authorization header")
        return caller, form
    form = await read_form(request) if is_form(request) else {}
    if not form.get("client_secret"):
        raise _nobody()
    return await _application(request, form.get("client_id", ""), form["client_secret"]), form


def _nobody() -> NotAuthenticated:
    """Applications are who calls there: what is missing is client authentication (RFC 6749 section 5.2)."""
    return NotAuthenticated(
        "client authentication is missing: `client_id` and `client_secret`, by HTTP Basic or in the form",
        reason="missing_client_credentials",
        error="invalid_client",
        scheme="Basic",
    )


async def _application(request: Request, client_id: str, secret: str) -> Caller:
    """The application of that name, by its secret. A right one is heard however many wrong ones came from its address: it is
    ours, and too long to be guessed."""
    attempts, source = throttles_of(request).attempts, source_of(request)
    application = None
    if may_be_client_secret(secret):
        application = await resources_of(request).applications.get(client_id)
    expected = application.client_secret_hash if application else fingerprint("no such client")
    if not hmac.compare_digest(hash_secret(secret), expected) or application is None:
        attempts.admit(source, f"client {client_id}", secret)
        attempts.failed(source, f"client {client_id}")
        raise NotAuthenticated(
            "client authentication failed", reason="wrong_client_secret", error="invalid_client", scheme="Basic"
        )
    acts(Actor(type="application", id=application.client_id))
    return Caller(application=application)


def hash_secret(secret: str) -> str:
    """The form in which a client secret is kept: one digest, for it has 256 random bits of ours and cannot be guessed from it."""
    return fingerprint("client_secret", secret)


def _basic(header: str) -> tuple[str, str]:
    try:
        # Cut where it is too long: what is left is no longer what was meant, and is refused below or by its secret.
        encoded = header.partition(" ")[2].strip()[:MAX_AUTHORIZATION]
        pair = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (ValueError, binascii.Error):
        pair = ""
    client_id, separator, secret = pair.partition(":")
    if not separator:
        raise NotAuthenticated(
            "the Basic credentials are malformed", reason="malformed_basic", error="invalid_client", scheme="Basic"
        )
    return unquote_plus(client_id), unquote_plus(secret)
