"""The doctor's test revocation: somebody made up, signed in and signed out through the real door, and all of it put away.

Okta's own key is Okta's. So the test has a connection of its own beside the one under examination, with a key made here, and
knocks at the real public URL: what stands between (names, TLS, proxies, paths), the clocks, the expected `aud` and the
record are the same for both.
"""

import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from service.cli.api import Api, ApiRefused, Unreachable
from service.cli.okta_assertion import ALGORITHM, PassingKey
from service.store.health import Level

NAME_PREFIX: Final = "doctor-"
"""How a connection made here is called, should one be left behind."""

SESSION_S: Final = 300
"""How long the made-up person's session lasts if nothing ends it, in seconds: longer than any test takes."""

MAX_QUOTED: Final = 300
"""Most of an unexpected answer that is shown, in bytes: our own refusals are shorter."""

Tell = Callable[[Level, str, str], None]
"""Takes a finding: level, what was looked at, what was found."""


class NotPassed(Exception):
    """The test cannot go on; the text says why."""


def run_self_test(api: Api, tell: Tell) -> None:
    """Sign somebody out, as Okta would, and tell what came of it. What was made is removed whatever happens, Ctrl-C included."""
    name = f"{NAME_PREFIX}{secrets.token_hex(8)}"
    try:
        with _stopped_by_signals(), _removed_afterwards(api, name, tell):
            _sign_somebody_out(api, name, tell)
    except (NotPassed, ApiRefused, Unreachable) as error:
        tell("fail", "self-test", str(error))


def _sign_somebody_out(api: Api, name: str, tell: Tell) -> None:
    # `.invalid` (RFC 2606) belongs to nobody: no key, no mail, no request of anybody goes there.
    key, issuer, client_id = PassingKey(), f"https://{name}.invalid", name
    connection = api.call(
        "POST",
        "connections",
        body={
            "name": name,
            "strategy": "oidc",
            "display_name": "logoutd okta doctor: made for a moment",
            "options": {
                "type": "back_channel",
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/oauth2/v1/authorize",
                "client_id": client_id,
                "id_token_signed_response_alg": ALGORITHM,
                "jwks": key.jwks(),
            },
        },
    )
    subject = {"iss": issuer, "sub": "00u-nobody"}
    session = api.call(
        "POST", "sessions", body={"connection": name, "subject": subject, "clients": [], "expires_in": SESSION_S}
    )["session_id"]
    if not api.get("sessions", session)["active"]:
        raise NotPassed("a sign-in that was just recorded does not read as active")

    endpoint = connection["global_token_revocation_endpoint"]
    answer = api.send(
        "POST",
        endpoint,
        headers={"Authorization": f"Bearer {key.assertion(iss=issuer, sub=client_id, aud=endpoint)}"},
        body={"sub_id": {"format": "iss_sub", **subject}},
    )
    if answer.status_code != 204:
        raise NotPassed(
            f"a request signed like Okta's was answered {answer.status_code}, not 204: {refusal_in(answer.content)}"
        )
    tell("ok", "self-test", "a request signed like Okta's was answered 204")
    read = api.get("sessions", session)
    if read["active"]:
        raise NotPassed("the door answered 204, and the session still reads as active")
    tell("ok", "self-test", f"the session it covers reads as {read['state']}")


def refusal_in(content: bytes) -> str:
    """What an answer that is none of ours, or a refusal, says, shortened."""
    return content[:MAX_QUOTED].decode("utf-8", "replace").strip() or "no text"


@contextmanager
def _removed_afterwards(api: Api, name: str, tell: Tell) -> Iterator[None]:
    """Remove the connection, also one whose creation was never answered: hence by its name."""
    try:
        yield
    finally:
        with _undisturbed():
            _remove(api, name, tell)


def _remove(api: Api, name: str, tell: Tell) -> None:
    try:
        api.call("DELETE", "connections", name)
        tell("ok", "self-test", f"the temporary connection {name} is removed again; its receipt stays")
    except (ApiRefused, Unreachable) as error:
        if not isinstance(error, ApiRefused) or error.status != 404:
            left = f"the temporary connection may be left: `logoutd connections delete {name}` ({error})"
            tell("fail", "self-test", left)


_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """A supervisor's request and a closed terminal end the test like Ctrl-C: everything is put away first."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(stop, _SIGNALS):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What is done in here is short, and not broken off half way by a second Ctrl-C."""
    with _handled(signal.SIG_IGN, (signal.SIGINT, *_SIGNALS)):
        yield


@contextmanager
def _handled(handler: Any, signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    # Python lets the main thread alone do this; in any other nobody presses Ctrl-C either.
    ours = signals if threading.current_thread() is threading.main_thread() else ()
    before = {each: signal.signal(each, handler) for each in ours}
    try:
        yield
    finally:
        for each, previous in before.items():
            signal.signal(each, previous)
