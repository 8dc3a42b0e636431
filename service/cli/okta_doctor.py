"""`logoutd okta doctor`, step by step: what to paste into Okta and where, and whether Okta will be understood.

Each step is one function from an examination to findings. Nothing that exists is changed.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from service.cli.api import Api, ApiRefused, Unreachable, is_loopback
from service.cli.okta_self_test import refusal_in, run_self_test
from service.cli.shown import show_facts, show_finding, show_heading, show_line
from service.store.health import Finding, Level
from service.verify.caller_assertion import TYP
from service.verify.claims import SKEW_S

CLOCK_TOLERANCE_S: Final = SKEW_S / 2
"""How far two clocks may be apart before it is said, in seconds: half of what would have Okta refused."""

CHALLENGE_HEADER: Final = "X-Okta-Verification-Challenge"


@dataclass(slots=True, kw_only=True)
class Examination:
    """One connection under examination: findings as they are made, shown at once unless they are gathered for JSON."""

    api: Api
    connection: Mapping[str, Any]
    quiet: bool = False
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The connection's."""
        return str(self.connection["name"])

    @property
    def options(self) -> Mapping[str, Any]:
        """The connection's."""
        options: Mapping[str, Any] = self.connection["options"]
        return options

    @property
    def endpoint(self) -> str:
        """Where Okta is to send."""
        return str(self.connection["global_token_revocation_endpoint"])

    def tell(self, level: Level, subject: str, detail: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level=level, subject=subject, detail=detail))
        if not self.quiet:
            show_finding(level, subject, detail)

    def heading(self, text: str) -> None:
        """Begin a step."""
        if not self.quiet:
            show_heading(text)

    def line(self, text: str) -> None:
        """Explain something."""
        if not self.quiet:
            show_line(text)

    def facts(self, facts: Mapping[str, str]) -> None:
        """Show what is to be pasted."""
        if not self.quiet:
            show_facts(facts)


def look_at_connection(case: Examination) -> None:
    """Is it open, and is anybody told?"""
    switch = f"`logoutd connections enable {case.name}`"
    if case.connection["enabled"]:
        case.tell("ok", "connection", f"{case.name} is enabled")
    else:
        case.tell("fail", "connection", f"{case.name} is disabled, Okta is answered 403: {switch}")
    enabled = case.connection["enabled_clients"]
    if enabled:
        case.tell(
            "ok", "applications", f"{len(enabled)} enabled: {', '.join(enabled[:5])}{' …' if enabled[5:] else ''}"
        )
    else:
        add = f"`logoutd connections clients enable {case.name} CLIENT_ID`"
        case.tell("warn", "applications", f"none is enabled, nobody can sign in and nobody is told: {add}")


def show_what_to_paste(case: Examination) -> None:
    """The fields of Okta's console, and what Okta will say of itself."""
    case.line("Okta Admin Console > Applications > yours > Sign On (or Authentication) > Logout > Edit:")
    case.facts(
        {
            "Okta system or admin initiates logout": "selected",
            "Logout endpoint URL": case.endpoint,
            "Authentication type": "Signed JWT",
            "Subject format": "Issuer and Subject Identifier, or Email where sign-ins register the address",
        }
    )
    case.line("Every request of Okta must then say, to the letter:")
    case.facts(expected_claims(case))
    host = urlsplit(case.endpoint)
    if is_loopback(case.endpoint):
        case.tell("warn", "endpoint", "it is on this machine, where Okta cannot reach it: set LOGOUTD_PUBLIC_URL")
    elif host.scheme != "https":
        case.tell("fail", "endpoint", "Okta sends to https only: LOGOUTD_PUBLIC_URL must be an https URL")
    else:
        case.tell("ok", "endpoint", case.endpoint)


def expected_claims(case: Examination) -> dict[str, str]:
    """Header and claims of an assertion this connection accepts."""
    options = case.options
    issuers = options.get("global_token_revocation_jwt_iss") or [options["issuer"]]
    return {
        "typ": TYP,
        "iss": " or ".join(issuers),
        "sub": options.get("global_token_revocation_jwt_sub") or options["client_id"],
        "aud": case.endpoint,
    }


def look_at_keys(case: Examination) -> None:
    """Can Okta's keys be had? The service looks, for it is the one that needs them."""
    try:
        found = case.api.call("POST", "connections", str(case.connection["id"]), "test")
    except ApiRefused as error:
        # The connection is there, so what is not there is the test.
        if error.status not in {404, 405}:
            raise
        case.tell(
            "warn", "keys", "this service has no test of connections; `logoutd check` beside it looks at the keys"
        )
        return
    for each in found["checks"]:
        level: Level = each["level"] if each["level"] in {"ok", "warn"} else "fail"
        case.tell(level, f"service's {each['check']}", each["detail"])


def look_at_clock(case: Examination) -> None:
    """Do the service's clock and ours agree? A minute apart from Okta's, and every request is refused."""
    sent = case.api.send("GET", f"{case.api.target.url}/healthz").headers.get("Date", "")
    try:
        apart = (parsedate_to_datetime(sent) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        case.tell("warn", "clock", "the service does not say what time it has")
        return
    if abs(apart) <= CLOCK_TOLERANCE_S:
        case.tell("ok", "clock", "the service's and this machine's agree")
    else:
        way = "ahead of" if apart > 0 else "behind"
        case.tell("warn", "clock", f"the service's is {abs(apart):.0f} s {way} this machine's; one of them is wrong")


def look_at_door(case: Examination) -> None:
    """Does the public URL lead to this connection's door? Without a credential it has to answer 401, and nothing else."""
    answer = case.api.send("POST", case.endpoint, body={})
    if answer.status_code == 401 and "Bearer" in answer.headers.get("WWW-Authenticate", ""):
        case.tell("ok", "door", "it answers 401 to a request without a credential, as it must")
    else:
        said = f"{answer.status_code}: {refusal_in(answer.content)}"
        case.tell(
            "fail",
            "door",
            f"what answers at the endpoint is not the door; does something between change paths? ({said})",
        )


def look_at_event_hook(case: Examination) -> None:
    """The other way Okta can speak, if it is used: does it answer Okta's one-time challenge?"""
    url = str(case.connection["okta_event_hook_uri"])
    case.line("Only if you use event hooks. Okta Admin Console > Workflow > Event Hooks > Create:")
    case.facts(
        {
            "URL": url,
            "Authentication field": "Authorization",
            "Authentication secret": f"`logoutd connections update {case.name} --option-file okta_event_hook_secret=FILE`",
        }
    )
    challenge = secrets.token_hex(16)
    answer = case.api.send("GET", url, headers={CHALLENGE_HEADER: challenge})
    try:
        answered = answer.status_code == 200 and answer.json() == {"verification": challenge}
    except ValueError:
        answered = False
    if answered:
        case.tell("ok", "event hook", "it answers Okta's challenge")
    else:
        case.tell("warn", "event hook", f"it is not open ({answer.status_code}); it opens when its secret is set")


def test_revocation(case: Examination) -> None:
    """Somebody made up is signed out through the door."""
    case.line("Somebody made up signs in and is signed out, with a key made for this test: Okta's own only Okta has.")
    run_self_test(case.api, case.tell)


def explain_refusals(case: Examination) -> None:
    """What to do when Okta's own requests are refused all the same."""
    case.line("If Okta's own requests are refused, the service's log says why, `door.refused`, `outcome` such as:")
    case.facts(
        {
            "wrong_aud": "another URL was pasted, or LOGOUTD_PUBLIC_URL is not what Okta calls",
            "wrong_iss": "another of Okta's issuers: --option global_token_revocation_jwt_iss=ISSUER",
            "wrong_sub": "another application: --option global_token_revocation_jwt_sub=ID",
            "unknown_kid, bad_signature": "another authorization server's keys, or a SAML application's certificate",
            "expired, issued_in_future": "the service's clock",
        }
    )
    if case.options.get("capture_refused_assertions"):
        off = f"`logoutd connections update {case.name} --no-capture`"
        case.tell(
            "warn",
            "capture mode",
            f"it is on: look for `assertion.captured` in the log; switch it off when done: {off}",
        )
    else:
        case.line("To see which names such a request carries and what does not match, in `assertion.captured`:")
        case.line(f"  logoutd connections update {case.name} --capture")


STEPS: Final[tuple[tuple[str, str, Callable[[Examination], None]], ...]] = (
    ("The connection", "connection", look_at_connection),
    ("What to paste into Okta", "endpoint", show_what_to_paste),
    ("What the service finds, Okta's keys first of all", "keys", look_at_keys),
    ("The clock", "clock", look_at_clock),
    ("The door", "door", look_at_door),
    ("Event hooks", "event hook", look_at_event_hook),
    ("A test revocation", "self-test", test_revocation),
    ("When Okta is refused", "capture mode", explain_refusals),
)
"""Heading, subject of what goes wrong in it, step; in the order an administrator needs them."""


def examine(case: Examination, *, self_test: bool) -> bool:
    """Every step, whatever the others found. Whether nothing failed."""
    steps = [step for step in STEPS if self_test or step[2] is not test_revocation]
    for number, (heading, subject, step) in enumerate(steps, 1):
        case.heading(f"{number}  {heading}")
        try:
            step(case)
        except (ApiRefused, Unreachable) as error:
            case.tell("fail", subject, str(error))
    return all(each.level != "fail" for each in case.findings)
