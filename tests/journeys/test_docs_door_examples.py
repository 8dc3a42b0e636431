"""The examples of /docs that identity providers' doors have, run as they stand: with messages an identity provider signed."""

import json
import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path

import httpx

from service.app import OPERATIONS
from service.dev import dev_stack
from tests.journeys.test_docs_examples import SIGNED_BY_OTHERS, paste
from tests.support.identity_provider import IdentityProvider

ISSUER = "https://acme.okta.com"
CLIENT_AT_OKTA = "0oa1example"
HOOK_SECRET = "a-secret-of-the-example-s-hook"


def door_examples(page: str) -> Mapping[str, str]:
    found = re.findall(r'<section class="operation" id="([^"]+)">.*?<pre><code>(.*?)</code>', page, flags=re.DOTALL)
    return {name: unescape(script) for name, script in found if name in SIGNED_BY_OTHERS}


def test_each_door_answers_its_example_as_the_page_says(tmp_path: Path) -> None:
    """The connection is that of the page's own example; only its keys are fetched from an identity provider of ours."""
    (tmp_path / ".curlrc").write_text('write-out = "\\n%{http_code}"\n', "utf-8")
    data = {"port": 0, "data_dir": tmp_path / "data", "log_to": tmp_path / "log"}
    with IdentityProvider.in_thread() as idp, dev_stack(**data) as stack:
        by_administrator = {"Authorization": f"Bearer {stack.admin_token}"}
        with httpx.Client(base_url=stack.url, headers=by_administrator, trust_env=False) as http:
            prepare(http, idp)
            page = http.get("/docs").text
        url = f"{stack.url}/oauth/global-token-revocation/connection/acme-okta"
        variables = {
            "HOME": str(tmp_path),
            "LOGOUTD": stack.url,
            "ASSERTION": idp.assertion(audience=url, client_id=CLIENT_AT_OKTA, claims={"iss": ISSUER}),
            "LOGOUT_TOKEN": idp.logout_token(sub="00u1ada", client_id=CLIENT_AT_OKTA, claims={"iss": ISSUER}),
            "HOOK_SECRET": HOOK_SECRET,
            "X_OKTA_VERIFICATION_CHALLENGE": "challenge-of-okta",
        }
        scripts = door_examples(page)
        assert scripts.keys() == SIGNED_BY_OTHERS
        for operation in OPERATIONS:
            name = operation.endpoint.__name__.replace("_", "-")
            if name in scripts:
                status, body = paste(scripts[name], variables)
                assert status in {each for each in operation.responses if each < 300}, f"{scripts[name]}\n{body}"
                assert name != "answer-okta-verification" or json.loads(body) == {"verification": "challenge-of-okta"}


def prepare(http: httpx.Client, idp: IdentityProvider) -> None:
    """What the examples before have made, with somebody signed in."""
    created = {each.endpoint.__name__: each.example for each in OPERATIONS}
    for path, name in (
        ("clients", "create_client"),
        ("connections", "create_connection"),
        ("sessions", "create_session"),
    ):
        body = created[name]
        if name == "create_connection":
            options = {**body["options"], "jwks_uri": idp.jwks_uri, "okta_event_hook_secret": HOOK_SECRET}
            body = {**body, "options": options}
        answer = http.post(f"/api/v2/{path}", json=body)
        assert answer.status_code == 201, answer.text
