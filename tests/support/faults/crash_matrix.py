"""One revocation after the other, each with a process that dies or loses Redis at another step of its way, and what that leaves
behind."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.authorization_server import CLOSED, AuthorizationServer, Connection, Receipt
from tests.support.faults.crash_cases import Case, Request, Watch
from tests.support.faults.crash_points import Point, holds_of, losses_of, points_of, rehearsed
from tests.support.faults.fleet import ADMIN_TOKEN, ALGORITHM, LOOPBACK, Fleet, held_port, running_fleet, wait_for_port
from tests.support.faults.forge import NOWHERE, Forge, Order, Step, steps_of
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, okta_batch, okta_event, okta_user
from tests.support.relying_party import RelyingParties
from tests.support.story import Person, Story, by_email
from tests.support.waiting import eventually

LEASES_RUN_OUT_S: Final = 45.0
"""How far ahead the clock of the worker is that cleans up, in seconds: more than anything is left to whoever died."""

PATIENCE_S: Final = 60.0
"""Longest wait for everything to be cleaned up, in seconds."""

AFTER_ANSWER_S: Final = 1.0
"""How long a service that has answered is given to die at what it does afterwards, in seconds."""

HELD_S: Final = 0.5
"""How long a step is held up, in seconds: long enough for an answer that does not wait for it, and for what is asked then."""

POLL_S: Final = 0.01
"""Pause between two looks whether a process has come to its step, in seconds."""

TRIES: Final = 3
"""Most processes sent to die at one point. The steps are the same in each; a machine that stands still may yet outlast some
patience of the product's."""


class Matrix:
    """The parts every case shares: a service that stays, no worker until everything has crashed, two applications."""

    def __init__(
        self, fleet: Fleet, forge: Forge, folder: Path, idp: IdentityProvider, parties: RelyingParties
    ) -> None:
        self.fleet, self.forge, self.folder = fleet, forge, folder
        self.server = AuthorizationServer(fleet.urls["service-0"], ADMIN_TOKEN)
        self.story = Story(server=self.server, idp=idp, parties=parties, mark="crash")
        self.web, self.crm = (
            self.story.application(name, id_token_signed_response_alg=ALGORITHM) for name in ("web", "crm")
        )
        self.connection = self.story.connection(
            self.web, self.crm, okta_event_hook_secret=HOOK_SECRET, revoke_offline_access=True
        )
        self.http = httpx.Client(trust_env=False, timeout=10)
        self.cases: list[Case] = []
        self._count = 0

    @classmethod
    @contextmanager
    def open(cls, folder: Path) -> Iterator["Matrix"]:
        """Everything, until the block ends."""
        with ExitStack() as stack:
            fleet = stack.enter_context(running_fleet(folder, pods=1, workers=0))
            forge = stack.enter_context(Forge.open())
            idp = stack.enter_context(IdentityProvider.in_thread())
            parties = stack.enter_context(RelyingParties.running())
            matrix = cls(fleet, forge, folder, idp, parties)
            stack.callback(matrix.server.http.close)
            stack.callback(matrix.http.close)
            yield matrix

    def crash_services(self, door: str) -> None:
        """Revocations through this door for each step of its way in the service; and for each script, one that takes long."""

        def run(point: Point) -> tuple[Case, list[Step]]:
            return self._crash_service(self.case(f"service, {door}", point, door))

        for point in holds_of(self._crash(run)):
            run(point)

    def crash_workers(self, together: int) -> None:
        """Revocations for each step of its way in a worker that writes so many outcomes together."""
        whose = f"worker, {together} written together"
        door = "global token revocation"
        self._crash(lambda point: self._crash_worker(self.case(whose, point, door), together))

    def _crash(self, run: Callable[[Point], tuple[Case, list[Step]]]) -> list[Step]:
        """One process after the other, each of which dies or loses Redis at another point of its way; the steps of that."""
        steps = rehearsed(lambda: run(Point())[1])
        for point in (*points_of(steps), *losses_of(steps)):
            for _ in range(TRIES):
                if run(point)[0].reached:
                    break
        return steps

    def recover(self) -> None:
        """Start a worker and wait until it has done everything; then let the providers repeat what nobody answered."""
        order = self.order("workers", clock_ahead_s=LEASES_RUN_OUT_S)
        self.forge.start(order)
        eventually(self.fleet.open_revocations, lambda count: count == 0, within_s=PATIENCE_S)
        told = self._told()
        for case in self.cases:
            case.honoured_unrepeated = self._honoured(case)
            case.told_unrepeated = told[case.session.user_id] == {self.web.client_id, self.crm.client_id}
            if not case.acknowledged and not case.repeated_first:
                answer = case.send(self.fleet.urls["service-0"])
                assert answer.is_success, f"{case}: repeated, {answer.status_code} {answer.text}"
        eventually(self.fleet.open_revocations, lambda count: count == 0, within_s=PATIENCE_S)
        told = self._told()
        for case in self.cases:
            case.honoured_at_last = self._honoured(case)
            case.told_at_last = told[case.session.user_id]
            case.receipts = [each["state"] for each in self.server.revocations_of(case.session.user_id)]

    def case(self, whose: str, point: Point, door: str) -> Case:
        """Somebody who is signed in at both applications, and is about to be revoked."""
        self._count += 1
        person = self.story.person(f"p{self._count}")
        session = self.story.sign_in(person, self.connection, self.web, self.crm, auth_time=int(time.time()) - 60)
        tokens = tuple(self.server.refresh_token(session, self.web, offline=each) for each in (False, True))
        case = Case(
            whose=whose,
            point=point,
            person=person,
            session=session,
            tokens=(tokens[0], tokens[1]),
            send=self._request(door, person, self.connection),
            repeated_first=len(self.cases) % 2 == 0,
        )
        self.cases.append(case)
        return case

    def _request(self, door: str, person: Person, connection: Connection) -> Request:
        body: dict[str, Any]
        match door:
            case "global token revocation":
                token = self.story.assertion(connection, alg="ES256")
                url, headers = connection.endpoint, {"Authorization": f"Bearer {token}"}
                body = {"json": {"sub_id": by_email(person.email)}}
            case "logout token":
                token = self.story.idp.logout_token(sub=person.sub, client_id=connection.client_id)
                url, headers, body = connection.logout_uri, {}, {"data": {"logout_token": token}}
            case _:
                event = okta_event(
                    "user.session.clear", at_ms=int(time.time() * 1000), target=[okta_user(person.sub, person.email)]
                )
                url, headers = f"//x/webhooks/okta/connection/{connection.name}", {"Authorization": HOOK_SECRET}
                body = {"json": okta_batch(event)}
        path = "/" + url.split("/", 3)[3]
        return lambda base: self.http.post(base + path, headers=headers, **body)

    def _crash_service(self, case: Case) -> tuple[Case, list[Step]]:
        with closing(held_port()) as held:
            port = held.getsockname()[1]
            url = f"http://{LOOPBACK}:{port}"
            order = self.order("service", case.point, port=port)
            pid = self.forge.start(order)
            with closing(Watch(pid)) as process:
                wait_for_port(url, lambda: not process.ends(0))
                try:
                    answer = case.send(url)
                except httpx.TransportError:
                    case.reached = process.ends(PATIENCE_S)
                else:
                    case.acknowledged = answer.is_success
                    refused = case.point.fate == "loses Redis" and answer.status_code == 503
                    assert case.acknowledged or refused, f"{case}: {answer.status_code} {answer.text}"
                    case.honoured = self._honoured(case)
                    if case.point.held:
                        self.forge.end(pid)
                        case.reached = True
                        return case, steps_of(Path(order.trace))
                    if case.point.fate == "loses Redis":
                        case.reached = comes(order, process, AFTER_ANSWER_S)
                        self.forge.end(pid)
                        return self._repeated(case), steps_of(Path(order.trace))
                    case.reached = case.point.step != NOWHERE and process.ends(AFTER_ANSWER_S)
            self._end(pid, case)
        if not case.acknowledged:
            case.honoured = self._honoured(case)
        return self._repeated(case), steps_of(Path(order.trace))

    def _repeated(self, case: Case) -> Case:
        """The same, sent again where that comes first."""
        if case.repeated_first and not case.acknowledged:
            answer = case.send(self.fleet.urls["service-0"])
            assert answer.is_success, f"{case}: repeated, {answer.status_code} {answer.text}"
            case.honoured = self._honoured(case)
            case.acknowledged = True
        return case

    def _crash_worker(self, case: Case, together: int) -> tuple[Case, list[Step]]:
        self.fleet.forget_queue()
        assert case.send(self.fleet.urls["service-0"]).is_success
        case.acknowledged = True
        case.honoured = self._honoured(case)
        (head,) = self.server.revocations_of(case.session.user_id)
        order = self.order("workers", case.point, revocation_id=head["revocation_id"], together=together)
        pid = self.forge.start(order)
        with closing(Watch(pid)) as process:
            if case.point.step == NOWHERE:
                eventually(lambda: self._is_closed(head), bool)
            elif case.point.fate == "loses Redis":
                case.reached = comes(order, process, PATIENCE_S)
            else:
                case.reached = process.ends(PATIENCE_S)
            self._end(pid, case)
        return case, steps_of(Path(order.trace))

    def _end(self, pid: int, case: Case) -> None:
        """One that was not to die ends as it is asked to, and where nothing was to happen it has everything done then; the others
        end one way or the other."""
        if case.point.step == NOWHERE or case.point.fate == "loses Redis":
            status = self.forge.ask_to_end(pid)
            assert status == 0, f"{case}: ended with status {status}"
            case.reached = case.reached or case.point.step == NOWHERE
        else:
            self.forge.end(pid)

    def _is_closed(self, head: Receipt) -> bool:
        return self.server.receipt(head["revocation_id"])["state"] in CLOSED

    def order(self, module: str, point: Point | None = None, *, port: int = 0, **more: Any) -> Order:
        """A process of ours, with something to happen to it."""
        self._count += 1
        point = point or Point()
        return Order(
            module=module,
            environment={**self.fleet.environment, "LOGOUTD_PORT": str(port)},
            log=str(self.log(module)),
            trace=str(self.folder / f"trace-{self._count}.jsonl"),
            step=point.step,
            commands=point.commands,
            after=point.after,
            fate=point.fate,
            held_s=HELD_S if point.held else 0.0,
            **more,
        )

    def log(self, module: str) -> Path:
        """What the processes of this kind have written."""
        return self.folder / f"{module}-crashing.log"

    def _honoured(self, case: Case) -> tuple[bool, ...]:
        asked = [self.server.is_active(case.session.session_id, hint="session")]
        return (*asked, *(self.server.is_active(each) for each in case.tokens))

    def _told(self) -> dict[str, set[str]]:
        """Which applications know of whom, by user_id."""
        told: dict[str, set[str]] = defaultdict(set)
        for application in (self.web, self.crm):
            for token in application.party.tokens:
                told[token.claims["sub"]].add(application.client_id)
        return told


def comes(order: Order, process: Watch, within_s: float) -> bool:
    """Whether a process comes to its step."""
    give_up_s = time.monotonic() + within_s
    while not order.mark.exists():
        if process.ends(POLL_S) or time.monotonic() > give_up_s:
            return order.mark.exists()
    return True
