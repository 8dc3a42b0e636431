"""schemathesis calls every operation as /openapi.json describes it, and as it does not, and finds nothing.

The document and the service are the same objects that are served; only the socket is missing. Nothing is random: the same
cases are tried every time.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.generation.case import Case

from service.app import OPERATIONS
from service.domain.identifiers import revocation_id_of
from service.web.operation import Operation
from tests.support.asgi import ADMINISTRATOR, PUBLIC_URL, Api, bearer, gtr_url
from tests.support.documented import document
from tests.support.identity_provider import IdentityProvider
from tests.web.examples import dead_delivery, name_of, prepare

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = 8
"""Random cases of each operation and mode, beside those that cover each of its limits."""

REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "415", "422"]
"""What a request that the document does not allow may be answered."""

SCHEMA = schemathesis.openapi.from_dict(
    document(),
    config=SchemathesisConfig.from_dict(
        {
            # Credentials are real ones; what comes of others is told in tests/web/test_access.py.
            "generation": {"with-security-parameters": False},
            "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
        }
    ),
)

load_all_checks()
HOOK_SECRET = "a-hook-secret-of-the-tests"

APART = {
    "ignored_auth": "sends requests of its own; tests/web/test_access.py does it for every operation",
    "use_after_free": "follows a history we do not keep",
    "ensure_resource_availability": "likewise",
    "positive_data_acceptance": "bodies have rules no schema can say: a connection's provider must answer",
}
"""Checks that are not run, and why."""

CHECKED = [each for each in CHECKS.get_all() if each.__name__ not in APART]


def described(operation: Operation) -> Any:
    """An operation as schemathesis knows it."""
    return SCHEMA[operation.path][operation.method]


def takes_anything(operation: Operation) -> bool:
    """Whether it takes anything but names of things in its path, of which any string may be one."""
    return bool(operation.body or operation.body_schema or operation.form or operation.query)


class Caller:
    """Whoever may call everything: sends a case with the credential its operation asks for, to things there are."""

    def __init__(self, api: Api, idp: IdentityProvider, ids: Mapping[str, str]) -> None:
        self._api = api
        self._idp = idp
        self._ids = ids

    async def send(self, case: Case, operation: Operation) -> int:
        """Send it, and hold the answer against every check. Its status."""
        if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
            for name in case.path_parameters:
                case.path_parameters[name] = self._ids.get(name, case.path_parameters[name])
        asked = requests.Request(**asked_for(case)).prepare()
        body = asked.body.encode() if isinstance(asked.body, str) else asked.body
        headers = {**dict(asked.headers), **self._credential(operation)}
        answer = await self._api.http.request(str(asked.method), str(asked.url), content=body, headers=headers)
        case.validate_response(answer, checks=CHECKED)
        return answer.status_code

    def _credential(self, operation: Operation) -> Mapping[str, str]:
        if operation.access == "assertion":
            token = self._idp.assertion(audience=gtr_url("okta"), alg="ES256", now_s=self._api.clock.now_s)
            return bearer(token)
        if operation.access == "hook secret":
            return {"Authorization": HOOK_SECRET}
        return ADMINISTRATOR if operation.access.startswith("administrator") else {}


def asked_for(case: Case) -> dict[str, Any]:
    """A case as `requests` takes it."""
    every = case.as_transport_kwargs(base_url=PUBLIC_URL)
    return {name: every[name] for name in ("method", "url", "headers", "json", "data", "params") if name in every}


async def caller(api: Api, idp: IdentityProvider) -> Caller:
    """One, and a service with one of everything there is."""
    examples = await prepare(api, idp)
    connection_id = examples["PATCH /api/v2/connections/{connection_id}"].path.rpartition("/")[2]
    secret = {"options": {"okta_event_hook_secret": HOOK_SECRET}}
    assert (await api.patch(f"/api/v2/connections/{connection_id}", secret)).status_code == 200
    session = await api.sign_in(idp, "shop")
    made = await api.post("/api/v2/refresh-tokens", {"session_id": session["session_id"], "client_id": "shop"})
    delivery_id = await dead_delivery(api, idp, "00u5")
    ids = {
        "connection_name": "okta",
        "connection_id": connection_id,
        "client_id": "shop",
        "session_id": session["session_id"],
        "user_id": session["user_id"],
        "refresh_token_id": made.json()["refresh_token_id"],
        "revocation_id": revocation_id_of(delivery_id),
        "delivery_id": delivery_id,
    }
    return Caller(api, idp, ids)


@pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
async def test_nothing_is_found_at_the_limits_of_what_is_documented(
    api: Api, idp: IdentityProvider, operation: Operation
) -> None:
    """Each member and parameter at and beyond each of its limits, left out, of another type; every other method."""
    asking = await caller(api, idp)
    cases = SCHEMA.iter_coverage_cases(
        described(operation),
        generation_modes=list(GenerationMode),
        generation_config=GenerationConfig(with_security_parameters=False),
    )
    seen = {await asking.send(case, operation) for case in cases}
    assert takes_anything(operation) or any(200 <= status < 300 for status in seen)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("operation", [each for each in OPERATIONS if takes_anything(each)], ids=name_of)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
async def test_nothing_is_found_by_chance(
    api: Api, idp: IdentityProvider, operation: Operation, mode: GenerationMode, data: st.DataObject
) -> None:
    case = data.draw(described(operation).as_strategy(generation_mode=mode))
    await api.resources.record.client.flushall()
    api.secrets.clear()
    await (await caller(api, idp)).send(case, operation)
