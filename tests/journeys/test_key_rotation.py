"""Our keys are rotated while both processes run: nothing is restarted, and no application meets a signature it cannot check.

Told twice. With the real processes and the real command, where time cannot be turned and so the file says that the day has
passed; and with both processes' parts under one clock, where every second of the day does.
"""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.dev import DevStack, dev_stack
from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.private_file import replace_private_file
from service.keys.rotate import add_next_keys, remove_keys
from service.keys.times import JWKS_MAX_AGE_S, KEEP_AFTER_S, LEAST_USE_AFTER_S
from service.resources import open_resources
from tests.support.asgi import NOBODY, Api, serving
from tests.support.authorization_server import Application, AuthorizationServer, Connection
from tests.support.clock import HandClock
from tests.support.house import House
from tests.support.identity_provider import IdentityProvider
from tests.support.processes import LIMIT_S, logoutd
from tests.support.relying_party import LogoutToken, RelyingParties
from tests.support.signing_keys import PRIVATE_MEMBERS, read_keys, write_keys
from tests.support.story import Story, by_email
from tests.support.waiting import eventually
from workers.worker import WorkerProcess

JWKS = "/.well-known/jwks.json"

DAY_S = 86_400

MOUNT_S = 120
"""How long a changed Secret takes to reach a pod, in seconds, at the worst."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[DevStack]:
    """Processes of this journey's own: others would meet keys that change."""
    with dev_stack(port=0, data_dir=tmp_path / "data", log_to=tmp_path / "log.jsonl") as started:
        yield started


@pytest.fixture
def story(stack: DevStack, idp: IdentityProvider, parties: RelyingParties) -> Iterator[Story]:
    server = AuthorizationServer(stack.url, stack.admin_token)
    with server.http:
        yield Story(server=server, idp=idp, parties=parties)


def published(story: Story) -> dict[str, Any]:
    found: dict[str, Any] = story.server.http.get(JWKS).json()
    assert not PRIVATE_MEMBERS & {name for each in found["keys"] for name in each}
    return found


def kids(keys: dict[str, Any], algorithm: str = "") -> list[str]:
    return [each["kid"] for each in keys["keys"] if algorithm in {"", each["alg"]}]


def sign_out_somebody(story: Story, connection: Connection, *applications: Application) -> list[LogoutToken]:
    """The logout token each application gets."""
    before = {each.client_id: len(each.party.received) for each in applications}
    person = story.person(f"ada{sum(before.values())}")
    session = story.sign_in(person, connection, *applications)
    assert story.revoke(connection, by_email(person.email)).status_code == 204
    story.server.only_receipt_of(session.user_id)
    return [each.party.tokens[before[each.client_id]] for each in applications]


def run_keys(stack: DevStack, *arguments: str) -> list[dict[str, Any]]:
    with logoutd("keys", *arguments, "--json", environment=stack.environment) as process:
        out, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, said
    listed: list[dict[str, Any]] = json.loads(out)["keys"]
    return listed


def let_pass(file: Path, seconds: int) -> None:
    """As if it had been so much earlier that the new keys were made."""
    keys = [
        {**each, "logoutd_use_from": each["logoutd_use_from"] - seconds} if "logoutd_use_from" in each else each
        for each in read_keys(file)["keys"]
    ]
    replace_private_file(file, json.dumps({"keys": keys}))


def test_keys_are_rotated_and_retired_under_running_processes(stack: DevStack, story: Story) -> None:
    file = Path(stack.environment["LOGOUTD_SIGNING_KEYS_FILE"])
    running = stack.service.process.pid, stack.worker.process.pid
    applications = [story.application(each.lower(), id_token_signed_response_alg=each) for each in SIGNING_ALGORITHMS]
    connection = story.connection(*applications)
    old = published(story)
    assert all(each.is_signed_by(old) for each in sign_out_somebody(story, connection, *applications))

    # Published at once, and not used.
    listed = run_keys(stack, "rotate")
    assert [each["state"] for each in listed] == ["current"] * 4 + ["next"] * 4
    both = eventually(lambda: published(story), lambda keys: len(keys["keys"]) == 8)
    assert kids(both) == [each["kid"] for each in listed]
    assert all(each.is_signed_by(old) for each in sign_out_somebody(story, connection, *applications))

    # A day later the new ones sign. Whoever has kept the keys since yesterday can check either.
    let_pass(file, DAY_S)
    new = set(kids(both)) - set(kids(old))
    tokens: list[LogoutToken] = []

    def signing() -> set[str]:
        latest = sign_out_somebody(story, connection, *applications)
        tokens.extend(latest)
        return {each.header["kid"] for each in latest}

    eventually(signing, lambda names: names == new)
    assert all(each.is_signed_by(both) for each in tokens)

    # And when nothing the old ones signed is on its way any more, they can go.
    let_pass(file, KEEP_AFTER_S)
    listed = run_keys(stack, "retire", "--replaced")
    assert {each["kid"] for each in listed if each["state"] == "current"} == new == {each["kid"] for each in listed}
    left = eventually(lambda: published(story), lambda keys: len(keys["keys"]) == 4)
    assert set(kids(left)) == new
    assert all(each.is_signed_by(left) for each in sign_out_somebody(story, connection, *applications))
    assert (stack.service.process.pid, stack.worker.process.pid) == running


@dataclass(kw_only=True)
class KeepsTheKeys:
    """An application that asks for our keys as seldom as it may, and for nothing because a `kid` is new to it."""

    api: Api
    known: dict[str, Any] = field(default_factory=dict)
    tag: str = ""
    asked_s: int = 0
    may_keep_s: int = -1

    async def checks(self, token: LogoutToken) -> bool:
        if self.api.clock.now_s - self.asked_s >= self.may_keep_s:
            await self._ask()
        return token.is_signed_by(self.known)

    async def _ask(self) -> None:
        answer = await self.api.call("GET", JWKS, by=NOBODY, headers={"If-None-Match": self.tag})
        if answer.status_code != 304:
            self.known = answer.json()
        max_age = re.search(r"max-age=(\d+)", answer.headers["cache-control"])
        assert max_age is not None
        self.asked_s, self.may_keep_s, self.tag = self.api.clock.now_s, int(max_age[1]), answer.headers["etag"]


@pytest.mark.parametrize("late", ["service", "worker"])
async def test_an_application_that_keeps_our_keys_for_as_long_as_it_may_checks_every_token(
    redis_url: str, tmp_path: Path, parties: RelyingParties, late: str
) -> None:
    clock = HandClock(int(time.time()) * 1000)
    party = await asyncio.to_thread(parties.open)
    async with (
        serving(redis_url, tmp_path, clock=clock) as api,
        open_resources(api.resources.settings, clock=clock) as resources,
    ):
        house = House(resources=resources, clock=clock, worker=WorkerProcess(resources))
        await house.application("app", party.backchannel_logout_uri, algorithm="ES256")
        # They begin to ask at moments that are spread over the time they may keep an answer for.
        keepers = [KeepsTheKeys(api=api) for _ in range(JWKS_MAX_AGE_S // 60)]
        path = resources.settings.signing_keys_file
        assert path is not None
        start_s, seen = clock.now_s, []
        files = {"service": api.resources.key_file, "worker": resources.key_file}

        switch_s = start_s + 600 + LEAST_USE_AFTER_S
        for now_s in range(start_s, switch_s + KEEP_AFTER_S + 2 * JWKS_MAX_AGE_S + 1, 60):
            clock.advance(now_s - clock.now_s)
            if now_s == start_s + 600:
                document, (new,) = add_next_keys(
                    read_keys(path), now_s=now_s, algorithms=["ES256"], use_after_s=LEAST_USE_AFTER_S
                )
                write_keys(path, document)
            if now_s == switch_s + KEEP_AFTER_S:
                write_keys(path, remove_keys(read_keys(path), [seen[0]], now_s=now_s))
            for name, file in files.items():
                # One process hears of each change at once, the other as late as may be.
                if name != late or (now_s - start_s) % 600 == MOUNT_S:
                    await file.look()

            await house.sign_in("ada", "app")
            receipt = await house.work_off(await house.revoke("ada"))
            assert receipt.state == "completed"
            token = party.tokens[-1]
            seen.append(token.header["kid"])
            asking = keepers[: 1 + (now_s - start_s) // 60]
            assert [await each.checks(token) for each in asking] == [True] * len(asking), now_s - start_s

        assert [seen.index(new), set(seen[seen.index(new) :])] == [(switch_s - start_s) // 60, {new}]
        assert [new] == kids(keepers[0].known, "ES256"), "the old one is gone, and nobody has missed it"
        house.worker.notifier.close()
