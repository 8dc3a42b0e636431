"""The authorization server logoutd stands beside, as far as a test needs one: the management API in a few words."""

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.support.relying_party import RelyingParty
from tests.support.waiting import PATIENCE_S, eventually

FORM: Final = "application/x-www-form-urlencoded"

CLOSED: Final = ("completed", "incomplete")
"""The states of a receipt in which nothing more will happen."""

Subject = Mapping[str, Any]
"""An RFC 9493 subject identifier."""

Receipt = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A registered client and the server behind its logout URI."""

    client_id: str
    client_secret: str
    party: RelyingParty


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A connection, as much of it as tests use."""

    id: str
    name: str
    endpoint: str
    """Where its Global Token Revocations go, and the `aud` they carry."""
    logout_uri: str
    """Where its logout tokens go."""
    client_id: str
    """Our client_id at the identity provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A recorded sign-in; `names` has each application's `sub` and `sid`, by client_id."""

    session_id: str
    user_id: str
    names: Mapping[str, tuple[str, str]]


class AuthorizationServer:
    """Calls a running service as its administrator. What must never be written to a log is gathered in `secrets`."""

    def __init__(self, url: str, admin_token: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S)
        self.administrator = {"Authorization": f"Bearer {admin_token}"}
        self.secrets: set[str] = {admin_token}

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """One call of the management API, whatever its answer."""
        return self.http.request(method, path, json=body, headers=self.administrator)

    def ask(self, method: str, path: str, body: object = None, *, expect: int = 200) -> Any:
        """One call that has to succeed with exactly this status: the JSON it answers."""
        answer = self.call(method, path, body)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def register(self, client_id: str, party: RelyingParty, **metadata: Any) -> Application:
        """Register a client whose logout tokens go to `party`, unless `metadata` says otherwise."""
        body = {"client_id": client_id, "backchannel_logout_uri": party.backchannel_logout_uri, **metadata}
        made = self.ask("POST", "/api/v2/clients", body, expect=201)
        self.secrets.add(made["client_secret"])
        return Application(client_id=client_id, client_secret=made["client_secret"], party=party)

    def connect(self, name: str, options: Mapping[str, Any], applications: Sequence[Application]) -> Connection:
        """Create a connection with these applications enabled."""
        body = {
            "strategy": "oidc",
            "name": name,
            "options": options,
            "enabled_clients": [each.client_id for each in applications],
        }
        if "client_secret" in options:
            self.secrets.add(options["client_secret"])
        made = self.ask("POST", "/api/v2/connections", body, expect=201)
        return Connection(
            id=made["id"],
            name=name,
            endpoint=made["global_token_revocation_endpoint"],
            logout_uri=made["backchannel_logout_uri"],
            client_id=made["options"]["client_id"],
        )

    def sign_in(self, body: Mapping[str, Any]) -> Session:
        """Record a sign-in that has to be accepted."""
        made = self.ask("POST", "/api/v2/sessions", body, expect=201)
        names = {each["client_id"]: (each["sub"], each["sid"]) for each in made["clients"]}
        return Session(session_id=made["session_id"], user_id=made["user_id"], names=names)

    def refresh_token(self, session: Session, application: Application, *, offline: bool = False) -> str:
        """A new refresh token."""
        body = {"session_id": session.session_id, "client_id": application.client_id, "offline": offline}
        token: str = self.ask("POST", "/api/v2/refresh-tokens", body, expect=201)["refresh_token"]
        self.secrets.add(token)
        return token

    def introspect(self, token: str, *, by: Application | None = None, hint: str | None = None) -> httpx.Response:
        """Ask whether a token is honoured, as the administrator or as an application."""
        form = {"token": token} | ({} if hint is None else {"token_type_hint": hint})
        if by is not None:
            return self.http.post("/oauth/introspect", data=form, auth=(by.client_id, by.client_secret))
        return self.http.post("/oauth/introspect", data=form, headers=self.administrator)

    def is_active(self, token: str, *, by: Application | None = None, hint: str | None = None) -> bool:
        """Whether a token is honoured; where it is not, the answer must be exactly `{"active": false}`."""
        answer = self.introspect(token, by=by, hint=hint)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        if told["active"] is not True:
            assert told == {"active": False}
        return bool(told["active"])

    def session(self, session: Session) -> dict[str, Any]:
        """A session as it reads now."""
        read: dict[str, Any] = self.ask("GET", f"/api/v2/sessions/{session.session_id}")
        return read

    def revocations_of(self, user_id: str) -> list[Receipt]:
        """The heads of the receipts that name a person, the newest first."""
        listed: list[Receipt] = self.ask("GET", f"/api/v2/revocations?user_id={user_id}")["items"]
        return listed

    def receipt(self, revocation_id: str) -> Receipt:
        """A receipt as it stands."""
        read: Receipt = self.ask("GET", f"/api/v2/revocations/{revocation_id}")
        return read

    def wait_for_receipt(
        self, revocation_id: str, state: str = "completed", *, within_s: float = PATIENCE_S
    ) -> Receipt:
        """The receipt once nothing more will happen; that has to be in this state."""
        receipt = eventually(
            lambda: self.receipt(revocation_id), lambda found: found["state"] in CLOSED, within_s=within_s
        )
        assert receipt["state"] == state, json.dumps(receipt, indent=1)
        return receipt

    def only_receipt_of(self, user_id: str, state: str = "completed", *, within_s: float = PATIENCE_S) -> Receipt:
        """The receipt of the one revocation that names a person, once it is closed."""
        (head,) = self.revocations_of(user_id)
        return self.wait_for_receipt(head["revocation_id"], state, within_s=within_s)


def deliveries_by_client(receipt: Receipt) -> dict[str, list[dict[str, Any]]]:
    """A receipt's deliveries by client_id."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in receipt["deliveries"]:
        found[each["client_id"]].append(each)
    return dict(found)


def milliseconds(moment: str) -> int:
    """A time of the API, which must be RFC 3339 in UTC with exactly milliseconds, as milliseconds since the epoch."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment), moment
    since = dt.datetime.fromisoformat(moment) - dt.datetime.fromtimestamp(0, dt.UTC)
    return since // dt.timedelta(milliseconds=1)
