"""`logoutd okta doctor` against the real service: what it says, what it finds wrong, and that it leaves nothing behind."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from service.cli.api import Api, Target
from service.cli.okta_assertion import PassingKey
from service.cli.okta_doctor import STEPS, Examination, examine
from service.cli.okta_self_test import NAME_PREFIX, run_self_test
from tests.support.authorization_server import AuthorizationServer
from tests.support.command_line import Commands
from tests.support.http_service import ADMIN_TOKEN
from tests.support.identity_provider import CLIENT_ID, IdentityProvider
from tests.support.relying_party import LogoutToken
from tests.support.strangers import answer, closed_port, stranger_in_thread

Told = list[tuple[str, str, str]]

Moment = tuple[int, str]
"""Which request, counted from 1, and whether Ctrl-C comes before it is sent or when its answer is lost."""

REQUESTS: Final = 5
"""How many requests a self-test makes before it puts away what it made."""


def findings(commands: Commands, *arguments: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and the level and the detail of each subject's last finding."""
    ran = commands.run("okta", "doctor", *arguments, "--json")
    found = {each["subject"]: (each["level"], each["detail"]) for each in ran.json["findings"]}
    assert ran.json["ok"] is (ran.status == 0) is all(level != "fail" for level, _ in found.values())
    return ran.status, found


def connections(server: AuthorizationServer) -> list[str]:
    return [each["name"] for each in server.ask("GET", "/api/v2/connections")["items"]]


def test_it_walks_through_everything_and_finds_it_well(
    commands: Commands, server: AuthorizationServer, okta: dict[str, Any], idp: IdentityProvider
) -> None:
    ran = commands.does("okta", "doctor", "okta")
    headings = [line for line in ran.out.splitlines() if line[:1].isdigit()]
    assert headings == [f"{number}  {heading}" for number, (heading, _, _) in enumerate(STEPS, 1)]
    for told in (
        f"Logout endpoint URL                    {okta['global_token_revocation_endpoint']}",
        "Authentication type                    Signed JWT",
        "typ  global-token-revocation+jwt",
        f"iss  {idp.issuer}",
        f"sub  {CLIENT_ID}",
        f"aud  {okta['global_token_revocation_endpoint']}",
        okta["okta_event_hook_uri"],
        "ok    connection: okta is enabled",
        "ok    applications: 1 enabled: notes",
        "ok    clock: ",
        "ok    door: it answers 401 to a request without a credential",
        "ok    self-test: a request signed like Okta's was answered 204",
        "ok    self-test: the session it covers reads as ended",
        "logoutd connections update okta --capture",
    ):
        assert told in ran.out, ran.out
    assert "fail" not in [line.split(" ")[0] for line in ran.out.splitlines()]
    assert connections(server) == ["okta"]
    assert server.ask("GET", "/api/v2/connections/okta") == okta, "what exists is not changed"


def test_what_it_made_is_gone_but_for_a_receipt(
    commands: Commands, server: AuthorizationServer, okta: dict[str, Any]
) -> None:
    commands.does("okta", "doctor", "okta")
    (receipt,) = server.ask("GET", "/api/v2/revocations")["items"]
    assert receipt["initiator"] == "global_token_revocation"
    assert receipt["connection_id"] != okta["id"]
    assert server.receipt(receipt["revocation_id"])["deliveries"] == [], "nobody real is told"


def test_without_the_self_test_nothing_is_made(
    commands: Commands, server: AuthorizationServer, okta: dict[str, Any]
) -> None:
    status, found = findings(commands, okta["id"], "--no-self-test")
    assert status == 0
    assert "self-test" not in found
    assert server.ask("GET", "/api/v2/revocations")["items"] == []


def test_what_an_assertion_must_say_follows_the_options(commands: Commands, okta: dict[str, Any]) -> None:
    commands.does(
        "connections", "update", "okta", "-o", "global_token_revocation_jwt_sub=0oaSaml",
        "-o", 'global_token_revocation_jwt_iss=["http://www.okta.com/exk1", "https://acme.okta.com"]',
    )  # fmt: skip
    assert commands.does("okta", "doctor", "okta", "--no-self-test", "--json").json["expected"] == {
        "typ": "global-token-revocation+jwt",
        "iss": "http://www.okta.com/exk1 or https://acme.okta.com",
        "sub": "0oaSaml",
        "aud": okta["global_token_revocation_endpoint"],
    }


def test_a_connection_that_is_disabled_or_enables_nobody_is_found_out(commands: Commands, okta: dict[str, Any]) -> None:
    commands.does("connections", "disable", "okta", "--yes")
    commands.does("connections", "clients", "disable", "okta", "notes")
    status, found = findings(commands, "okta", "--no-self-test")
    assert status == 1
    assert found["connection"][0] == "fail"
    assert "`logoutd connections enable okta`" in found["connection"][1]
    assert found["applications"][0] == "warn"


def test_capture_mode_is_reminded_of(commands: Commands, okta: dict[str, Any]) -> None:
    commands.does("connections", "update", "okta", "--capture")
    _, found = findings(commands, "okta", "--no-self-test")
    assert found["capture mode"][0] == "warn"
    assert "--no-capture" in found["capture mode"][1]


def test_keys_that_cannot_be_had_are_found_out(
    commands: Commands, server: AuthorizationServer, okta: dict[str, Any], idp: IdentityProvider
) -> None:
    idp.broken.add("keys")
    try:
        status, found = findings(commands, "okta", "--no-self-test")
    finally:
        idp.broken.clear()
    assert status == 1
    assert "keys" in " ".join(subject for subject, (level, _) in found.items() if level == "fail")


def test_an_event_hook_is_open_once_its_secret_is_set(commands: Commands, okta: dict[str, Any], tmp_path: Path) -> None:
    assert findings(commands, "okta", "--no-self-test")[1]["event hook"][0] == "warn"
    secret = tmp_path / "secret"
    secret.write_text("a-secret-for-event-hooks\n", "utf-8")
    commands.does("connections", "update", "okta", "--option-file", f"okta_event_hook_secret={secret}")
    assert findings(commands, "okta", "--no-self-test")[1]["event hook"] == ("ok", "it answers Okta's challenge")


def test_a_connection_that_is_not_there_is_said_at_once(commands: Commands) -> None:
    assert "no such connection" in commands.fails(1, "okta", "doctor", "nobodys")


# A public URL that does not lead here.


@pytest.fixture
def behind(server: AuthorizationServer, okta: dict[str, Any]) -> Any:
    """An Api whose connection says that its doors are elsewhere, as with a wrong PUBLIC_URL."""

    def examined(base: str) -> tuple[Api, Mapping[str, Any]]:
        real = str(server.http.base_url).rstrip("/")
        moved = {name: value.replace(real, base) if isinstance(value, str) else value for name, value in okta.items()}
        return Api(Target(url=real, token=ADMIN_TOKEN)), moved

    return examined


def examined(behind: Any, base: str, step: str) -> Told:
    api, connection = behind(base)
    with api:
        case = Examination(api=api, connection=connection, quiet=True)
        assert examine(case, self_test=False) is False
    return [(each.level, each.subject, each.detail) for each in case.findings if each.subject == step]


def test_a_door_nobody_answers_at_is_a_fail(behind: Any) -> None:
    ((level, _, detail),) = examined(behind, f"http://127.0.0.1:{closed_port()}", "door")
    assert level == "fail"
    assert "cannot be reached" in detail


@pytest.mark.parametrize("status", [200, 301, 404, 401])
def test_something_else_at_the_door_is_a_fail_that_says_what_it_said(behind: Any, status: int) -> None:
    with stranger_in_thread(answer(status, b"no such page \x1b[2J" + b"x" * 5000)) as other:
        ((level, _, detail),) = examined(behind, other.url(""), "door")
    assert level == "fail"
    assert f"({status}: no such page" in detail
    assert len(detail) < 600


def test_plain_http_to_another_machine_is_a_fail(behind: Any) -> None:
    ((level, _, detail),) = examined(behind, "http://logout.invalid", "endpoint")
    assert level == "fail"
    assert "https" in detail


# What the service says of itself.


class Answering(httpx.BaseTransport):
    """Answers what ends so, and passes the rest on."""

    def __init__(self, ending: str, respond: Callable[[httpx.Request], httpx.Response]) -> None:
        self.inner = httpx.HTTPTransport()
        self.ending = ending
        self.respond = respond

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        return self.respond(request) if request.url.path.endswith(self.ending) else self.inner.handle_request(request)

    def close(self) -> None:
        """Close what it passes them on with."""
        self.inner.close()


def examined_with(server: AuthorizationServer, transport: httpx.BaseTransport, okta: dict[str, Any]) -> Examination:
    with Api(Target(url=str(server.http.base_url).rstrip("/"), token=ADMIN_TOKEN), transport=transport) as api:
        case = Examination(api=api, connection=okta, quiet=True)
        examine(case, self_test=False)
    return case


def test_what_the_services_own_test_finds_is_told(server: AuthorizationServer, okta: dict[str, Any]) -> None:
    checks = [
        {"check": "discovery", "level": "ok", "detail": "read"},
        {"check": "usable keys", "level": "fail", "detail": "none"},
        {"check": "new", "level": "nonsense", "detail": "unheard of"},
    ]
    answered = httpx.Response(200, json={"ok": False, "checks": checks})
    told = examined_with(server, Answering("/test", lambda _request: answered), okta).findings
    assert [each.level for each in told if each.subject.startswith("service's ")] == [
        "ok",
        "fail",
        "fail",
    ]


def test_a_service_without_such_a_test_is_not_held_to_be_broken(
    server: AuthorizationServer, okta: dict[str, Any]
) -> None:
    nothing = httpx.Response(404, json={"error": "not_found", "error_description": "nothing at this address"})
    told = examined_with(server, Answering("/test", lambda _request: nothing), okta).findings
    assert [each.level for each in told if each.subject == "keys"] == ["warn"]


@pytest.mark.parametrize("body", [{"verification": "something else"}, [], {}])
def test_an_event_hook_that_does_not_send_the_challenge_back_is_not_open(
    server: AuthorizationServer, okta: dict[str, Any], body: object
) -> None:
    answered = httpx.Response(200, json=body)
    told = examined_with(server, Answering("/webhooks/okta/connection/okta", lambda _request: answered), okta).findings
    assert [each.level for each in told if each.subject == "event hook"] == ["warn"]


@pytest.mark.parametrize(
    ("date", "level", "telling"),
    [
        ("Wed, 01 Jan 2020 00:00:00 GMT", "warn", "behind this machine's"),
        ("Sat, 01 Jan 2180 00:00:00 GMT", "warn", "ahead of this machine's"),
        ("yesterday", "warn", "does not say"),
        ("Wed, 01 Jan 2020 00:00:00 -0000", "warn", ""),
    ],
)
def test_a_clock_that_differs_is_warned_of(
    server: AuthorizationServer, okta: dict[str, Any], date: str, level: str, telling: str
) -> None:
    transport = Answering("/healthz", lambda _request: httpx.Response(200, headers={"Date": date}))
    ((found, detail),) = [
        (each.level, each.detail) for each in examined_with(server, transport, okta).findings if each.subject == "clock"
    ]
    assert found == level
    assert telling in detail


# The assertion is Okta's to the letter.


def test_the_assertion_has_the_header_and_claims_okta_documents_and_no_other() -> None:
    key = PassingKey()
    token = LogoutToken.read(key.assertion(iss="https://i.example", sub="0oa1", aud="https://a.example"))
    assert token.header == {"typ": "global-token-revocation+jwt", "alg": "RS256", "kid": key.jwks()["keys"][0]["kid"]}
    iat = token.claims["iat"]
    assert token.claims == {
        "jti": token.claims["jti"],
        "iss": "https://i.example",
        "sub": "0oa1",
        "aud": "https://a.example",
        "exp": iat + 300,
        "nbf": iat - 300,
        "iat": iat,
    }
    assert token.is_signed_by(key.jwks())
    assert set(key.jwks()["keys"][0]) == {"kty", "n", "e", "kid", "use", "alg"}, "nothing private"
    assert key.assertion(iss="i", sub="s", aud="a") != key.assertion(iss="i", sub="s", aud="a")


# Nothing is left behind.


class Interrupting(httpx.BaseTransport):
    """Passes requests on; at the chosen one somebody presses Ctrl-C, before it is sent or before its answer is read."""

    def __init__(self, at: int, moment: str) -> None:
        self.inner = httpx.HTTPTransport()
        self.at = at
        self.moment = moment
        self.count = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        self.count += 1
        if (self.count, self.moment) == (self.at, "before"):
            raise KeyboardInterrupt
        response = self.inner.handle_request(request)
        response.read()
        if (self.count, self.moment) == (self.at, "after"):
            raise KeyboardInterrupt
        return response

    def close(self) -> None:
        """Close what it passes them on with."""
        self.inner.close()


def self_tested(server: AuthorizationServer, transport: httpx.BaseTransport, token: str = ADMIN_TOKEN) -> Told:
    told: Told = []
    target = Target(url=str(server.http.base_url).rstrip("/"), token=token)
    with Api(target, transport=transport) as api:
        run_self_test(api, lambda *finding: told.append(finding))
    return told


@pytest.mark.parametrize("moment", [(at, when) for at in range(1, REQUESTS + 1) for when in ("before", "after")])
def test_ctrl_c_at_any_moment_leaves_no_connection(server: AuthorizationServer, moment: Moment) -> None:
    transport = Interrupting(*moment)
    with pytest.raises(KeyboardInterrupt):
        self_tested(server, transport)
    assert transport.count == moment[0] + 1, "so many requests are made, and one that removes"
    assert connections(server) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_a_supervisor_or_a_closed_terminal_is_like_ctrl_c(server: AuthorizationServer, how: signal.Signals) -> None:
    class Ending(Interrupting):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if self.count == 1 or request.method == "DELETE":
                os.kill(os.getpid(), how)
            return response

    before = signal.getsignal(how)
    with pytest.raises(KeyboardInterrupt):
        self_tested(server, Ending(0, "never"))
    assert connections(server) == [], "the second signal did not stop what the first began"
    assert signal.getsignal(how) == before


def test_so_many_requests_are_all_there_are(server: AuthorizationServer) -> None:
    transport = Interrupting(0, "never")
    told = self_tested(server, transport)
    assert transport.count == REQUESTS + 1, "and one that removes"
    assert [level for level, _, _ in told] == ["ok", "ok", "ok"]


def test_what_could_not_be_removed_is_named(server: AuthorizationServer) -> None:
    class Lost(Interrupting):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "DELETE":
                raise httpx.ConnectError("the network is gone")
            return super().handle_request(request)

    told = self_tested(server, Lost(0, "never"))
    (left,) = connections(server)
    assert left.startswith(NAME_PREFIX)
    assert told[-1][0] == "fail"
    assert f"`logoutd connections delete {left}`" in told[-1][2]


def test_a_service_that_refuses_is_a_finding(server: AuthorizationServer) -> None:
    told = self_tested(server, Interrupting(0, "never"), token="another-token")
    assert {level for level, _, _ in told} == {"fail"}
    assert told[-1] == ("fail", "self-test", "this is not the administrator's token")
