"""/metrics: what is documented is there, what is there is documented, and all of it can be parsed."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.asgi import ADMIN_TOKEN, NOBODY, Api, bearer, gtr_path, serving
from tests.support.identity_provider import IdentityProvider
from tests.support.okta_events import HOOK_SECRET, hook_path, okta_batch, okta_event, okta_user
from tests.support.strangers import answer, stranger
from workers.worker import WorkerProcess

PAGE = (Path(__file__).parents[2] / "deploy" / "README.md").read_text(encoding="utf-8")
DOCUMENTED = {
    name.removesuffix("_total"): (name, of)
    for name, of in re.findall(r"^\| `(logoutd_[a-z_]+)` \| the (fleet|process) \|", PAGE, flags=re.MULTILINE)
}


@pytest.fixture
async def api(redis_url: str, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(redis_url, tmp_path) as opened:
        yield opened


async def scraped(api: Api) -> dict[str, Metric]:
    found = await api.get("/metrics", by=NOBODY)
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/plain; version=")
    assert found.headers["cache-control"] == "no-store"
    families = list(text_string_to_metric_families(found.text))
    assert len({each.name for each in families}) == len(families), "no family is there twice"
    return {each.name: each for each in families if not each.name.endswith("_created")}


async def test_a_fresh_process_shows_every_documented_metric_and_no_other(api: Api) -> None:
    found = await scraped(api)
    assert set(found) == set(DOCUMENTED)
    for name, metric in found.items():
        documented, _ = DOCUMENTED[name]
        assert documented.endswith("_total") == (metric.type == "counter"), name
        assert metric.documentation
        assert metric.documentation.endswith("."), f"{name}: {metric.documentation}"
    assert all("_seconds" in name for name, metric in found.items() if metric.type == "histogram")


async def test_every_metric_moves_in_a_story_and_no_label_holds_a_secret_or_a_name(
    api: Api, idp: IdentityProvider
) -> None:
    worker = WorkerProcess(api.resources)
    async with stranger(answer(200)) as polite, stranger(answer(404)) as rude:
        await api.client("shop", backchannel_logout_uri=polite.url(), id_token_signed_response_alg="ES256")
        await api.client("wiki", backchannel_logout_uri=rude.url(), id_token_signed_response_alg="ES256")
        await api.connection(idp, "shop", "wiki", options={"okta_event_hook_secret": HOOK_SECRET})
        email = {"format": "email", "email": "ada@example.com"}
        session = await api.sign_in(idp, "shop", "wiki", identifiers=[email])
        token = await api.refresh_token(session, "shop")
        assert (await api.global_token_revocation(idp, {"sub_id": email})).status_code == 204
        refused = await api.http.post(gtr_path("okta"), json={}, headers=bearer("x"))
        assert refused.status_code == 401
        events = [
            okta_event("user.session.end", at_ms=0, target=[okta_user("00u2ben", "ben@example.com")]),
            okta_event("ada@example.com", at_ms=0),
        ]
        hooked = await api.http.post(hook_path("okta"), json=okta_batch(*events), headers=bearer(HOOK_SECRET))
        assert hooked.json() == {"revocations": 0, "ignored": 2}
        await api.resources.heartbeats.beat("here:1", now_ms=api.clock.now_ms())
        before = await scraped(api)
        await worker.create_arq_worker(burst=True).async_run()
        await worker.notifier.drain(10)
    await api.sign_in(idp, "shop", identifiers=[email])
    await api.delete(f"/api/v2/users/{session['user_id']}/sessions")
    api.clock.advance(10)
    found = await scraped(api)

    def value(families: dict[str, Metric], sample: str, **labels: str) -> float:
        return sum(
            each.value
            for family in families.values()
            for each in family.samples
            if each.name == sample and labels.items() <= each.labels.items()
        )

    door = {"door": "global_token_revocation"}
    assert value(found, "logoutd_door_requests_total", **door, outcome="accepted") == 1
    assert value(found, "logoutd_door_requests_total", **door, outcome="malformed_token") == 1
    assert value(found, "logoutd_accept_seconds_count", **door) == 1
    assert value(found, "logoutd_okta_events_total") == 2
    assert value(found, "logoutd_okta_events_total", type="user.session.end", outcome="unknown_person") == 1
    assert value(found, "logoutd_okta_events_total", type="other", outcome="ignored") == 1
    assert value(found, "logoutd_revoked_seconds_count") == 2
    assert value(found, "logoutd_jwks_fetches_total", outcome="ok") >= 1
    assert value(found, "logoutd_http_requests_total", route="/api/v2/sessions", method="POST", status="2xx") == 2
    assert value(found, "logoutd_enqueue_failures_total") == 0
    assert value(found, "logoutd_audit_entries_total") > 0
    assert value(found, "logoutd_audit_failures_total") == 0
    assert value(found, "logoutd_deliveries_total", outcome="delivered") == 1
    assert value(found, "logoutd_deliveries_total", outcome="dead") == 1
    assert value(found, "logoutd_dead_letters") == 1
    assert value(found, "logoutd_delivery_attempts_total", result="2xx") == 1
    assert value(found, "logoutd_delivery_attempts_total", result="4xx") == 1
    assert value(found, "logoutd_told_seconds_count") == 1
    assert value(found, "logoutd_told_seconds_bucket", le="+Inf") == 1
    assert value(found, "logoutd_record_up") == 1
    assert value(before, "logoutd_workers") == 1
    assert value(before, "logoutd_open_revocations") == 1
    assert value(found, "logoutd_open_revocations") == 1
    assert value(found, "logoutd_queue_depth") == 1
    assert value(found, "logoutd_oldest_open_seconds") == pytest.approx(10, abs=0.1)
    assert value(found, "logoutd_overdue_seconds") == pytest.approx(7, abs=0.1)

    everything = (await api.get("/metrics")).text
    for secret in (
        ADMIN_TOKEN,
        token,
        session["session_id"],
        session["user_id"],
        "ada@",
        "00u1ada",
        HOOK_SECRET,
        api.secrets["shop"],
    ):
        assert secret not in everything


async def test_while_redis_is_away_the_process_still_tells_its_own(tmp_path: Path) -> None:
    async with serving(f"unix://{tmp_path}/nowhere.sock", tmp_path) as api:
        found = await scraped(api)
    own = {name for name, (_, of) in DOCUMENTED.items() if of == "process"}
    assert own <= set(found)
    assert found["logoutd_record_up"].samples[0].value == 0
    assert "logoutd_dead_letters" not in found
    assert "logoutd_open_revocations" not in found, "what is not known is not called zero"


@pytest.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running
