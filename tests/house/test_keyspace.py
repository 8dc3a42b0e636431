"""The map of Redis and the territory: the tables in `service.store.keyspace` and `service.store.person_keys`, their functions,
and what a story leaves."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from service.domain.revocation import RevocationRequest
from service.embedded_redis import EmbeddedRedis
from service.store import keyspace, person_keys
from service.store.applications import REMOVED_MS
from service.store.blast_radius import BlastRadius
from tests.support.asgi import NOBODY, Api, serving
from tests.support.contents import lifetimes_ms, types
from tests.support.identity_provider import IdentityProvider
from tests.support.strangers import answer, stranger
from workers.worker import WorkerProcess

ROOT = Path(__file__).parents[2]
SHEETS = {"keyspace": keyspace, "person_keys": person_keys}
ROWS = [
    row
    for sheet in SHEETS.values()
    for row in re.findall(r"^\| `(logoutd:[^`]+)` \| (\w+) \| .* \| (.*) \|$", sheet.__doc__ or "", re.MULTILINE)
]
PLACE = re.compile(r"\{[a-z]+\}|\b(?:ID|HASH|NAME|CONNECTION)\b")
ARQ = ("arq:", "logoutd:queue")
"""Where arq's own keys are (`service.jobs.QUEUE`)."""


def pattern_of(name: str) -> str:
    """What a key of one row looks like."""
    fixed = [re.escape(each) for each in PLACE.split(name)]
    places = [r"\{[^{}:]+\}" if each.startswith("{") else "[^{}:]+" for each in PLACE.findall(name)]
    return "".join(text + place for text, place in zip(fixed, [*places, ""], strict=True))


def row_of(key: str) -> tuple[str, str, str]:
    """The only row a key belongs to."""
    (row,) = [each for each in ROWS if re.fullmatch(pattern_of(each[0]), key)]
    return row


def named_keys() -> dict[str, str]:
    """Every key the modules can name, by the function or constant that does."""
    found = {}
    for sheet, module in SHEETS.items():
        for name, value in vars(module).items():
            if inspect.isfunction(value) and not name.startswith("_"):
                places = [f"{place}-1" for place in inspect.signature(value).parameters]
                found[f"{sheet}.{name}"] = value(*places)
            elif name.isupper() and name != "PREFIX":
                found[f"{sheet}.{name}"] = value
    return found


def test_every_name_in_a_module_has_one_row_and_every_row_one_name() -> None:
    rows = [row_of(each)[0] for each in named_keys().values()]
    assert sorted(rows) == sorted(row[0] for row in ROWS)


def test_what_is_of_one_person_is_on_the_persons_sheet_and_nothing_else() -> None:
    of_people = {name for name, key in named_keys().items() if key.startswith("logoutd:person:{")}
    assert of_people == {name for name in named_keys() if name.startswith("person_keys.")}


def test_every_name_in_a_module_is_used() -> None:
    used = set()
    for path in [*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SHEETS:
                used.add(f"{node.value.id}.{node.attr}")
    assert used == set(named_keys())


def test_no_key_is_named_anywhere_else() -> None:
    for path in [*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        if path.name not in {"keyspace.py", "person_keys.py", "jobs.py"}:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = node.value if isinstance(node, ast.Constant) else ""
                assert not (isinstance(text, str) and re.match(r"logoutd:[a-z]", text)), path


@pytest.mark.parametrize("script", sorted(each.name for each in (ROOT / "service/store/lua").iterdir()))
def test_no_script_scans_and_none_names_a_key_that_is_not_of_the_tag_it_was_given(script: str) -> None:
    source = (ROOT / "service/store/lua" / script).read_text(encoding="utf-8")
    assert not re.search(r"'(?:KEYS|SCAN|[HSZ]SCAN|RANDOMKEY)'", source)
    assert "logoutd:" not in source


async def story(api: Api, idp: IdentityProvider) -> None:
    """Sign-ins, tokens, revocations of every kind: told, refused by the application, and not worked off yet."""
    worker = WorkerProcess(api.resources)
    async with (
        stranger(answer(200)) as polite,
        stranger(answer(503)) as down,
        stranger(answer(400)) as broken,
    ):
        await api.client("shop", backchannel_logout_uri=polite.url(), id_token_signed_response_alg="ES256")
        await api.client("wiki", backchannel_logout_uri=down.url(), backchannel_logout_session_required=True)
        await api.client("board", backchannel_logout_uri=None)
        await api.client("cms", backchannel_logout_uri=broken.url(), id_token_signed_response_alg="ES256")
        connection = await api.connection(idp, "shop", "wiki", "board", "cms")
        email = {"format": "email", "email": "ada@example.com"}
        for revoke in ("door", "operator", "session", "person", "logout", "nothing"):
            session = await api.sign_in(
                idp, "shop", "board", "cms", identifiers=[email], auth_time=api.clock.now_s, upstream_sid="up-1"
            )
            path = f"/api/v2/sessions/{session['session_id']}"
            await api.post(f"{path}/clients", {"client_id": "wiki", "sid": "wikis-own"})
            for offline in (False, True):
                await api.refresh_token(session, "shop", offline=offline)
            match revoke:
                case "door":
                    done: Any = await api.global_token_revocation(idp, {"sub_id": email})
                case "operator":
                    body = {"connection": connection["id"], "subject": email, "reason": "a story"}
                    done = await api.post("/api/v2/revocations", body)
                case "session":
                    done = await api.delete(path)
                case "person":
                    done = await api.delete(f"/api/v2/users/{session['user_id']}/sessions")
                case "logout":
                    done = await api.backchannel_logout(idp.logout_token(sid="up-1", now_s=api.clock.now_s))
                case _:
                    done = await api.get(path)
            assert done.is_success
            api.clock.advance(10)
            if revoke not in {"person", "logout"}:
                await worker.create_arq_worker(burst=True).async_run()
            if revoke == "door":
                await api.resources.client_healths.pause("wiki", reason=None, now_ms=api.clock.now_ms())
            await worker.sweeper.sweep()
            await worker.sweeper.tidy()
            await api.resources.seals.keep()
            await worker.keys_teller.tell()
            await worker.redelivered.tidy()
        letters, _ = await api.resources.dead_letters.page(after=None, limit=10, now_ms=api.clock.now_ms())
        # Of those that died in one millisecond any may be the first: one of an application that holds a newer session is refused.
        tried = [await api.post(f"/api/v2/deliveries/{each.delivery.delivery_id}/redeliver") for each in letters]
        assert 202 in {each.status_code for each in tried} <= {202, 409}
        token = idp.logout_token(sid="up-2", now_s=api.clock.now_s)
        await api.resources.kept_tokens.keep(connection["id"], token, now_ms=api.clock.now_ms(), look_at_ms=0)
        await api.backchannel_logout(idp.logout_token(sid="up-1", now_s=api.clock.now_s))
        radius = BlastRadius(api.resources.record, people=1, window_ms=60_000)
        for user in ("usr_1", "usr_2"):
            held = RevocationRequest(
                revocation_id=f"rev_{user}",
                connection_id=connection["id"],
                user_ids=(user,),
                initiator="global_token_revocation",
            )
            await radius.count(held, now_ms=api.clock.now_ms())
            await radius.keep(held, now_ms=api.clock.now_ms())
        await api.resources.heartbeats.beat("here:1", now_ms=api.clock.now_ms())
        assert (await api.get("/api/v2/connections", by=NOBODY)).status_code == 401
        eve = await api.sign_in(idp, subject={"iss": idp.issuer, "sub": "eve"})
        assert (await api.delete(f"/api/v2/users/{eve['user_id']}")).status_code == 202
        await worker.notifier.drain(10)


async def test_a_whole_story_leaves_keys_of_the_map_alone_each_with_its_type_and_lifetime(
    redis_server: EmbeddedRedis, redis_url: str, tmp_path: Path
) -> None:
    async with serving(redis_url, tmp_path) as api, IdentityProvider.running() as idp:
        await story(api, idp)

    left = types(redis_url)
    lifetimes = lifetimes_ms(redis_url)
    rows = {key: row_of(key) for key in left if not key.startswith(ARQ)}
    # Leases and turns are there only while an attempt is under way; nobody is removed, and nobody
    # signs in a thousand times (`tests/store/test_keyspace.py` does).
    assert {row[0] for row in ROWS} - {row[0] for row in rows.values()} <= {
        "logoutd:revocation:{revocation}:leases",
        "logoutd:client-turns:{logoutd:due}:ID",
        "logoutd:client-pace:{logoutd:due}:ID",
        "logoutd:client-removed:{logoutd:due}:ID",
        "logoutd:person:{user}:participation-lost",
    }
    for key, (name, kind, lives) in rows.items():
        assert left[key] == kind, key
        lasting = lives.startswith(("until", "for ever", "pruned"))
        if "finished, then" not in lives and "erased" not in lives:  # the story leaves some finished and some not
            assert (lifetimes[key] == -1) == lasting, f"{name} lives {lives}"


async def test_with_everything_removed_what_stays_is_what_the_map_says_stays(redis_url: str, tmp_path: Path) -> None:
    async with serving(redis_url, tmp_path) as api, IdentityProvider.running() as idp:
        connection = await api.connection(idp, "shop")
        await api.delete("/api/v2/clients/shop")
        await api.delete(f"/api/v2/connections/{connection['id']}")
    # What was done is told for longer than what it was done to.
    left = {keyspace.AUDIT_TRAIL: "stream", keyspace.AUDIT_KEY: "string", keyspace.client_removed("shop"): "string"}
    assert types(redis_url) == left
    assert 0 < lifetimes_ms(redis_url)[keyspace.client_removed("shop")] <= REMOVED_MS
