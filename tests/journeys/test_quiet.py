"""Law 7: no token, secret or raw e-mail in what the two processes write and publish, whatever happens to them."""

import json
import re
from contextlib import closing
from pathlib import Path

import pytest
import redis

from service.dev import DevStack
from tests.support.identity_provider import IdentityProvider
from tests.support.relying_party import REFUSED, Answer, redirect
from tests.support.story import Story, by_email, by_iss_sub
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def lived(module_story: Story, module_stack: DevStack) -> Story:
    """A story with every kind of refusal and failure in it, each with something private close at hand."""
    story, server, stack = module_story, module_story.server, module_stack
    gossip = Answer(status=503, headers={"X-Private": "gossip-in-a-header"}, body=b"gossip-in-a-body")
    server.secrets |= {"gossip-in-a-header", "gossip-in-a-body", "gossip-in-a-location"}
    web, failing = story.application("web"), story.application("failing", gossip, REFUSED)
    moved = story.application("moved", redirect("http://127.0.0.1:1/?code=gossip-in-a-location"))
    connection = story.connection(web, failing, moved)
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web, failing, moved)
    token = server.refresh_token(session, web, offline=True)
    server.is_active(token)

    # Refused credentials, well-formed and not; refused bodies; unknown people.
    with IdentityProvider.in_thread(numbers_from=2) as stranger:
        stranger.origin, origin = story.idp.origin, stranger.origin
        assert story.revoke(connection, by_email(ada.email), idp=stranger).status_code == 401
        stranger.origin = origin
    for claims in ({"sub": ada.email}, {"iss": ada.email}, {"aud": f"https://{ada.email}/"}, {"jti": 7}, {"exp": 1}):
        assertion = story.assertion(connection, claims=claims)
        assert story.revoke(connection, by_email(ada.email), assertion=assertion).status_code == 401
    for subject in (
        {"format": ada.email},
        {"format": "email", "email": f"{ada.email}@"},
        {"format": "email", "email": ada.email, ada.email: "x"},
        {"format": "email", "email": ada.email, "note": token},
    ):
        assert story.revoke(connection, subject).status_code == 400
    unknown = story.person("nobody")
    assert story.revoke(connection, by_email(unknown.email)).status_code == 404
    http, ours = server.http, server.administrator
    assert http.get("/api/v2/clients", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert http.post("/oauth/introspect", data={"token": token}, auth=(web.client_id, token)).status_code == 401
    assert http.post(f"/oauth/introspect?token={token}", data={"other": token}, headers=ours).status_code == 400
    assert http.get(f"/{token}").status_code == 404
    assert http.get(f"/api/v2/users/{ada.email}", headers=ours).status_code == 404
    body = story.sign_in_body(ada, connection, web, identifiers=[by_email(ada.email)], surprise=ada.email)
    assert server.call("POST", "/api/v2/sessions", body).status_code == 400

    # Redis goes away under a request.
    stack.redis.stop()
    assert story.revoke(connection, by_email(ada.email)).status_code == 503
    assert server.introspect(token).status_code == 503
    stack.redis.start()
    eventually(lambda: server.call("GET", "/readyz").status_code, lambda status: status == 200)

    # And it all works, as far as the applications let it.
    assert story.revoke(connection, by_iss_sub(story.idp.issuer, ada.sub)).status_code == 204
    server.only_receipt_of(session.user_id, "incomplete")
    for application in (web, failing, moved):
        server.secrets |= {each.text for each in application.party.tokens}
    return story


def test_the_log_tells_the_story_and_holds_nothing_secret(lived: Story, log_file: Path) -> None:
    # Secrets of every journey told so far, in a log of every journey told so far.
    text = log_file.read_text("utf-8")
    for event in ("door.refused", "request.unavailable", "revocation.accepted", "delivery.attempted"):
        assert f'"event": "{event}"' in text
    assert len(lived.server.secrets) > 20
    assert [each[:4] for each in lived.server.secrets if each.lower() in text.lower()] == []


def test_nothing_in_the_log_looks_like_a_token_a_secret_or_an_e_mail_address(lived: Story, log_file: Path) -> None:
    text = log_file.read_text("utf-8")
    assert re.findall(r"eyJ[\w-]{10,}", text) == []
    assert re.findall(r"logoutd_[a-z]{2}_\w+", text) == []
    assert re.findall(r"[\w.+-]+@[\w-]+\.\w+", text) == []


def test_every_line_of_the_log_is_one_event_with_its_level_and_time(lived: Story, log_file: Path) -> None:
    for line in log_file.read_text("utf-8").splitlines():
        event = json.loads(line)
        assert {"event", "level", "timestamp", "logger"} <= set(event)


def test_a_delivery_can_be_followed_from_the_request_to_the_last_attempt_by_its_revocation(
    lived: Story, log_file: Path
) -> None:
    events = [json.loads(line) for line in log_file.read_text("utf-8").splitlines()]
    accepted = [each for each in events if each["event"] == "revocation.accepted"][-1]
    path = [each for each in events if each.get("revocation_id") == accepted["revocation_id"]]
    assert [each["event"] for each in path][:2] == ["revocation.accepted", "revocation.planned"]
    attempts = [each for each in path if each["event"] == "delivery.attempted"]
    assert sorted((each["client_id"].split("-")[0], each["attempt"], each["status"]) for each in attempts) == [
        ("failing", 1, 503),
        ("failing", 2, 400),
        ("moved", 1, 307),
        ("web", 1, 200),
    ]


def test_nothing_secret_is_in_the_numbers_or_the_queue(lived: Story, stack: DevStack) -> None:
    numbers = lived.server.http.get("/metrics").text
    with closing(redis.Redis.from_url(stack.redis_url, decode_responses=True)) as client:
        jobs = [str(client.get(key)) for key in client.keys("arq:*") if client.type(key) == "string"]
    assert "logoutd_door_requests_total" in numbers
    for text in (numbers, *jobs):
        assert [each[:4] for each in lived.server.secrets if each.lower() in text.lower()] == []


def test_a_refresh_token_is_kept_as_a_hash_only(lived: Story, data_dir: Path) -> None:
    tokens = [each for each in lived.server.secrets if each.startswith("logoutd_rt_")]
    assert tokens
    kept = b"".join(each.read_bytes() for each in data_dir.rglob("append*") if each.is_file())
    assert lived.mark.encode() in kept, "this is not where Redis writes"
    assert [each[:4] for each in tokens if each.encode() in kept] == []
