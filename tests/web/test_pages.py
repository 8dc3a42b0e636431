"""Lists come in pages: the cursors walk every item once, and nothing else is taken for a cursor or a limit."""

import base64
from typing import Any

import pytest

from service.app import OPERATIONS
from service.store import keyspace, person_keys
from service.web.pages import DEFAULT_LIMIT, MAX_LIMIT
from tests.support.asgi import SUBJECT, Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTS = [each.path for each in OPERATIONS if each.method == "GET" and {"limit", "cursor"} <= set(each.query)]


async def walk(api: Api, path: str, limit: int) -> list[Any]:
    """Every item, page by page."""
    items: list[Any] = []
    query = f"?limit={limit}" if "?" not in path else f"&limit={limit}"
    cursor = ""
    for _ in range(200):
        answer = await api.get(f"{path}{query}{cursor}")
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert set(told) == {"items", "next_cursor"}
        assert len(told["items"]) <= limit
        items += told["items"]
        if told["next_cursor"] is None:
            return items
        cursor = f"&cursor={told['next_cursor']}"
    raise AssertionError("the list does not end")


async def fill(api: Api, idp: IdentityProvider, count: int) -> dict[str, set[str]]:
    """`count` of everything that is listed; the ids there are, by the path of their list."""
    clients = {f"client-{number}" for number in range(count)}
    connection_id = (await api.connection(idp, *sorted(clients)))["id"]
    connections = {connection_id}
    connections |= {(await api.connection(idp, name=f"okta-{number}"))["id"] for number in range(1, count)}
    sessions = [await api.sign_in(idp, "client-0") for _ in range(count)]
    user = sessions[0]["user_id"]
    revocations = set()
    for each in sessions:
        answer = await api.delete(f"/api/v2/sessions/{each['session_id']}")
        revocations.add(answer.json()["revocation_id"])
        api.clock.advance(1)
    return {
        "/api/v2/clients": clients,
        "/api/v2/connections": connections,
        f"/api/v2/connections/{connection_id}/clients": clients,
        f"/api/v2/users/{user}/sessions": {each["session_id"] for each in sessions},
        "/api/v2/revocations": revocations,
        f"/api/v2/revocations?user_id={user}": revocations,
        "/api/v2/revocations?connection=okta": revocations,
        f"/api/v2/revocations?connection={connection_id}&state=accepted": revocations,
        f"/api/v2/audit?user_id={user}": revocations,
    }


def id_of(item: dict[str, Any]) -> str:
    for name in ("session_id", "revocation_id", "client_id", "id"):
        if item.get(name):
            return str(item[name])
    raise AssertionError(f"an item without an id: {item}")


async def test_cursors_walk_every_item_once(api: Api, idp: IdentityProvider) -> None:
    there = await fill(api, idp, 7)
    assert {path.partition("?")[0].count("/") for path in there} == {path.count("/") for path in LISTS}
    for path, ids in there.items():
        for limit in (1, 2, 3, 6, 7, 8, MAX_LIMIT):
            found = [
                id_of(each) if "revocation_id" not in each else each["revocation_id"]
                for each in await walk(api, path, limit)
            ]
            assert len(found) == len(ids), (path, limit)
            assert set(found) == ids, (path, limit)


async def test_what_is_removed_between_two_pages_makes_nobody_miss_what_stays(api: Api, idp: IdentityProvider) -> None:
    there = await fill(api, idp, 4)
    connection = next(path for path in there if path.endswith("/clients") and "connections" in path)
    for path in ("/api/v2/clients", connection):
        first = (await api.get(f"{path}?limit=2")).json()
        gone = first["items"][-1]["client_id"]
        assert (await api.patch(connection, [{"client_id": gone, "status": False}])).status_code == 200
        assert (await api.delete(f"/api/v2/clients/{gone}")).status_code == 204
        rest = (await api.get(f"{path}?limit=2&cursor={first['next_cursor']}")).json()
        seen = {each["client_id"] for each in first["items"] + rest["items"]}
        assert there[path] - seen <= {"client-1"}, path


async def test_an_entry_that_points_to_nothing_does_not_end_a_list(api: Api, idp: IdentityProvider) -> None:
    """A crash between two writes, or a session that expired before the list of its person was pruned."""
    there = await fill(api, idp, 4)
    user = next(path.split("/")[4] for path in there if "/users/" in path)
    redis = api.resources.record.client
    for key in (keyspace.CLIENTS, keyspace.CONNECTIONS, person_keys.sessions(user), keyspace.REVOCATIONS):
        await redis.zadd(key, {"gone-1": 0, "gone-2": 0, "gone-3": 1})
    for path, ids in there.items():
        for limit in (1, 2, 3):
            assert len(await walk(api, path, limit)) == len(ids), (path, limit)


async def test_a_page_has_fifty_items_unless_asked_otherwise(api: Api) -> None:
    for number in range(DEFAULT_LIMIT + 1):
        await api.client(f"client-{number:02}")
    first = (await api.get("/api/v2/clients")).json()
    assert len(first["items"]) == DEFAULT_LIMIT
    rest = (await api.get(f"/api/v2/clients?cursor={first['next_cursor']}")).json()
    assert [each["client_id"] for each in rest["items"]] == ["client-50"]
    assert rest["next_cursor"] is None


async def test_an_empty_list_is_a_page_too(api: Api) -> None:
    for path in ("/api/v2/clients", "/api/v2/connections", "/api/v2/revocations"):
        answer = await api.get(path)
        assert answer.json() == {"items": [], "next_cursor": None}
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "limit", ["0", "-1", "101", "1.5", "ten", "", "1e2", "%D9%A1", "99999999999999999999", " 1", "+1"]
)
async def test_a_limit_out_of_bounds_is_refused(api: Api, limit: str) -> None:
    for path in ("/api/v2/clients", "/api/v2/connections", "/api/v2/revocations"):
        refused(await api.get(f"{path}?limit={limit}"), 400, "invalid_request", "limit", "1 to 100")


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "p5", "%00", "%E2%82%AC", encoded("5"), encoded("5:"), encoded("-1:shop"), encoded("1.5:shop"),
     encoded("1:a b"), encoded(":shop"), encoded("inf:shop"), encoded("9" * 21 + ":shop"), encoded("1:" + "x" * 300),
     encoded("1:caf\xe9"), "A" * 5000, encoded("1:shop") + "!!"],
)  # fmt: skip
async def test_a_cursor_no_list_gave_is_refused(api: Api, cursor: str) -> None:
    for path in ("/api/v2/clients", "/api/v2/connections", "/api/v2/revocations"):
        refused(await api.get(f"{path}?cursor={cursor}"), 400, "invalid_request", "cursor")


async def test_a_cursor_beyond_the_end_is_an_empty_last_page(api: Api) -> None:
    answer = await api.get(f"/api/v2/clients?cursor={encoded('9' * 15 + ':shop')}")
    assert answer.json() == {"items": [], "next_cursor": None}


async def test_a_parameter_no_list_has_is_refused_by_name(api: Api, idp: IdentityProvider) -> None:
    connection = await api.connection(idp, "shop")
    user = (await api.sign_in(idp, "shop"))["user_id"]
    for path in LISTS:
        filled = path.format(connection_id=connection["id"], user_id=user)
        refused(await api.get(f"{filled}?surprise=1"), 400, "invalid_request", "surprise", "not a parameter")


@pytest.mark.parametrize(
    ("query", "status"), [("state=done", 400), ("state=", 400), ("connection=", 404), ("connection=nobodys", 404)]
)
async def test_a_filter_that_means_nothing_is_refused_and_never_ignored(api: Api, query: str, status: int) -> None:
    error = "invalid_request" if status == 400 else "not_found"
    refused(await api.get(f"/api/v2/revocations?{query}"), status, error)


async def test_revocations_are_filtered_and_newest_first(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    await api.connection(idp, name="other")
    people = []
    made = []
    for sub in (SUBJECT, "00u2grace"):
        session = await api.sign_in(idp, "shop", subject={"iss": idp.issuer, "sub": sub})
        people.append(session["user_id"])
        made.append((await api.delete(f"/api/v2/users/{session['user_id']}/sessions")).json()["revocation_id"])
        api.clock.advance(1)

    async def listed(query: str) -> list[str]:
        return [each["revocation_id"] for each in (await api.get(f"/api/v2/revocations{query}")).json()["items"]]

    assert await listed("") == [made[1], made[0]]
    assert await listed(f"?user_id={people[0]}") == [made[0]]
    assert await listed("?user_id=usr_nobody") == []
    assert await listed("?connection=okta") == [made[1], made[0]]
    assert await listed("?connection=other") == []
    assert await listed(f"?connection=other&user_id={people[0]}") == []
    assert await listed("?state=accepted") == [made[1], made[0]]
    assert await listed("?state=completed") == []
