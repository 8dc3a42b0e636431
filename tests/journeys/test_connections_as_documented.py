"""The four requests of the page this product grew from, sent as its readers send them: `curl --data`, no Content-Type of JSON."""

import json
from typing import Any

import pytest

from tests.support.authorization_server import FORM, Connection
from tests.support.story import Story, by_email

BODIES: dict[str, str] = {
    "front channel, by discovery": """
        {"strategy": "oidc", "name": "CONNECTION_NAME", "options": {"type": "front_channel",
         "discovery_url": "https://IDP_DOMAIN/.well-known/openid-configuration",
         "client_id": "IDP_CLIENT_ID", "scopes": "openid profile"}}""",
    "back channel, by discovery": """
        {"strategy": "oidc", "name": "CONNECTION_NAME", "options": {"type": "back_channel",
         "discovery_url": "https://IDP_DOMAIN/.well-known/openid-configuration",
         "client_id": "IDP_CLIENT_ID", "client_secret": "IDP_CLIENT_SECRET", "scopes": "openid profile"}}""",
    "front channel, by issuer": """
        {"strategy": "oidc", "name": "CONNECTION_NAME", "options": {"type": "front_channel",
         "issuer": "https://IDP_DOMAIN", "authorization_endpoint": "https://IDP_DOMAIN/authorize",
         "token_endpoint": "https://IDP_DOMAIN/oauth/token",
         "client_id": "IDP_CLIENT_ID", "scopes": "openid profile"}}""",
    "back channel, by issuer": """
        {"strategy": "oidc", "name": "CONNECTION_NAME", "options": {"type": "back_channel",
         "issuer": "https://IDP_DOMAIN", "authorization_endpoint": "https://IDP_DOMAIN/authorize",
         "client_secret": "IDP_CLIENT_SECRET", "client_id": "IDP_CLIENT_ID", "scopes": "openid profile"}}""",
}

each_body = pytest.mark.parametrize("kind", BODIES)


def create(story: Story, kind: str) -> dict[str, Any]:
    """Send one of the four, filled in, as `curl --data` does."""
    body = (
        BODIES[kind]
        .replace("https://IDP_DOMAIN", story.idp.origin)
        .replace("CONNECTION_NAME", f"page-{story.mark}")
        .replace("IDP_CLIENT_ID", "0oaPage")
        .replace("IDP_CLIENT_SECRET", f"idp-secret-{story.mark}")
    )
    story.server.secrets.add(f"idp-secret-{story.mark}")
    answer = story.server.http.post(
        "/api/v2/connections", content=body, headers={**story.server.administrator, "Content-Type": FORM}
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@each_body
def test_the_request_works_as_it_is_and_the_answer_has_what_to_paste_into_the_identity_provider(
    story: Story, kind: str
) -> None:
    made = create(story, kind)

    name, base = f"page-{story.mark}", str(story.server.http.base_url).rstrip("/")
    assert (made["name"], made["strategy"], made["enabled"], made["enabled_clients"]) == (name, "oidc", True, [])
    assert made["global_token_revocation_endpoint"] == f"{base}/oauth/global-token-revocation/connection/{name}"
    assert made["backchannel_logout_uri"] == f"{base}/oauth/backchannel-logout/connection/{name}"
    assert made["okta_event_hook_uri"] == f"{base}/webhooks/okta/connection/{name}"
    options = made["options"]
    assert options["type"] == ("front_channel" if "front" in kind else "back_channel")
    assert (options["issuer"], options["client_id"]) == (story.idp.issuer, "0oaPage")
    assert options["scopes"] == "openid profile"
    assert ("jwks_uri" in options) == ("discovery" in kind), "keys configured by hand are looked for when first needed"
    read = story.server.ask("GET", f"/api/v2/connections/{made['id']}")
    assert read == made
    for shown in (made, read):
        assert "client_secret" not in options
        assert f"idp-secret-{story.mark}" not in json.dumps(shown)


@each_body
def test_the_connection_takes_a_revocation_at_once(story: Story, kind: str) -> None:
    server = story.server
    web = story.application("web")
    made = create(story, kind)
    connection = Connection(
        id=made["id"],
        name=made["name"],
        endpoint=made["global_token_revocation_endpoint"],
        logout_uri=made["backchannel_logout_uri"],
        client_id="0oaPage",
    )
    server.ask("PATCH", f"/api/v2/connections/{made['id']}/clients", [{"client_id": web.client_id, "status": True}])
    ada = story.person("ada")
    session = story.sign_in(ada, connection, web)

    assert story.revoke(connection, by_email(ada.email)).status_code == 204

    assert story.is_over(session)
    server.only_receipt_of(session.user_id)
    assert [each.claims["sub"] for each in web.party.tokens] == [session.user_id]


def test_a_name_that_is_taken_is_409_and_the_first_connection_stays(story: Story) -> None:
    first = create(story, "back channel, by discovery")
    body = {
        "strategy": "oidc",
        "name": first["name"],
        "options": {"type": "back_channel", "discovery_url": story.idp.discovery_url, "client_id": "another"},
    }

    refused = story.server.call("POST", "/api/v2/connections", body)

    assert (refused.status_code, refused.json()["error"]) == (409, "conflict")
    assert story.server.ask("GET", f"/api/v2/connections/{first['id']}") == first
