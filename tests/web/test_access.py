"""Who may call: the administrator by token, an application for itself by its secret, nobody else."""

import base64

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from service.app import OPERATIONS
from service.web.operation import Operation
from tests.support.asgi import ADMIN_TOKEN, ADMINISTRATOR, NOBODY, Api, basic, bearer, refused, serving
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

GUARDED = [each for each in OPERATIONS if each.access.startswith("administrator")]
FOR_APPLICATIONS = [each for each in GUARDED if each.access == "administrator or application"]
FOR_THE_ADMINISTRATOR = [each for each in GUARDED if each.access == "administrator"]


def path_of(operation: Operation) -> str:
    """Its path, with ids of nothing."""
    return "/".join("nothing" if part.startswith("{") else part for part in operation.path.split("/"))


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


async def ask(api: Api, operation: Operation, credential: dict[str, str]) -> httpx.Response:
    return await api.call(operation.method, path_of(operation), by=credential)


async def test_every_guarded_operation_refuses_whoever_brings_no_credential(api: Api) -> None:
    for each in GUARDED:
        answer = await ask(api, each, dict(NOBODY))
        if each.form:
            # Whose callers are applications: OAuth has words of its own for that (RFC 6749 section 5.2).
            refused(answer, 401, "invalid_client", "client authentication is missing")
            assert answer.headers["www-authenticate"] == 'Basic realm="logoutd", charset="UTF-8"', each
            continue
        refused(answer, 401, "invalid_token", "no bearer token")
        assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", error_description="'), each


@pytest.mark.parametrize(
    "token", ["wrong", ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x", ADMIN_TOKEN.upper(), "Bearer", "a.b.c", "\xe9"]
)
async def test_every_guarded_operation_refuses_another_token(api: Api, token: str) -> None:
    for each in GUARDED:
        answer = await ask(api, each, {"Authorization": f"Bearer {token}".encode("latin-1")})  # type: ignore[dict-item]
        description = refused(answer, 401, "invalid_token", "not the administrator's token")
        assert token not in description or token in {"Bearer", "\xe9"}


async def test_the_administrator_passes_everywhere(api: Api) -> None:
    for each in GUARDED:
        answer = await ask(api, each, dict(ADMINISTRATOR))
        assert answer.status_code in {200, 400, 404, 415}, (named(each), answer.text)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(api: Api, scheme: str) -> None:
    answer = await api.get("/api/v2/clients", by={"Authorization": f"{scheme}  {ADMIN_TOKEN} "})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "value",
    ["", " ", "Bearer", "Bearer ", "Bearer one two", ADMIN_TOKEN, f"Token {ADMIN_TOKEN}", "Bearer " + "x" * 8300],
)
async def test_a_header_that_is_not_bearer_and_one_token_is_refused(api: Api, value: str) -> None:
    answer = await api.get("/api/v2/clients", by={"Authorization": value})
    refused(answer, 401, "invalid_token", "Authorization header")


async def test_a_token_in_the_query_is_no_credential(api: Api) -> None:
    refused(await api.get(f"/api/v2/clients?access_token={ADMIN_TOKEN}", by=NOBODY), 401, "invalid_token")


@pytest.mark.parametrize("path", ["/api/v2/clients", "/api/v2/sessions/ses_nothing"])
async def test_two_credentials_are_none(api: Api, path: str) -> None:
    await api.client("shop")
    for two in ([ADMINISTRATOR, ADMINISTRATOR], [api.by("shop"), ADMINISTRATOR], [ADMINISTRATOR, api.by("shop")]):
        headers = [("Authorization", each["Authorization"]) for each in two]
        refused(await api.http.get(path, headers=headers), 401, "invalid_token", "twice")


async def test_an_application_is_nobody_to_the_administrators_operations(api: Api) -> None:
    await api.client("shop")
    for each in FOR_THE_ADMINISTRATOR:
        refused(await ask(api, each, api.by("shop")), 401, "invalid_token")


async def test_an_applications_secret_opens_what_is_for_applications(api: Api) -> None:
    await api.client("shop")
    for each in FOR_APPLICATIONS:
        answer = await ask(api, each, api.by("shop"))
        assert answer.status_code in {400, 404, 415}, (named(each), answer.text)


@pytest.mark.parametrize("client_id", ["shop", "never-registered"])
async def test_a_wrong_secret_and_an_unknown_client_are_answered_alike(api: Api, client_id: str) -> None:
    await api.client("shop")
    for each in FOR_APPLICATIONS:
        answer = await ask(api, each, basic(client_id, "wrong"))
        assert refused(answer, 401, "invalid_client") == "client authentication failed"
        assert answer.headers["www-authenticate"] == 'Basic realm="logoutd", charset="UTF-8"'


async def test_a_deleted_clients_secret_opens_nothing(api: Api) -> None:
    await api.client("shop")
    credential = api.by("shop")
    assert (await api.delete("/api/v2/clients/shop")).status_code == 204
    refused(await api.introspect("a-token-of-no-meaning", by=credential), 401, "invalid_client")


async def test_client_id_and_secret_are_form_encoded_inside_basic(api: Api) -> None:
    """RFC 6749 section 2.3.1: a client_id with a colon would otherwise end too early."""
    await api.client("https:shop@example.com")
    assert (await api.introspect("a-token-of-no-meaning", by=api.by("https:shop@example.com"))).status_code == 200


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "not base64 at all",
        "c2hvcA",
        base64.b64encode(b"no-colon").decode(),
        base64.b64encode(b"\xff\xfe:\xfd").decode(),
        base64.b64encode(b"shop:" + b"x" * 9000).decode(),
        "=" * 8,
    ],
)
async def test_malformed_basic_credentials_are_refused_as_such(api: Api, encoded: str) -> None:
    await api.client("shop")
    answer = await api.introspect("a-token-of-no-meaning", by={"Authorization": f"Basic {encoded}"})
    refused(answer, 401, "invalid_client")
    assert answer.headers["www-authenticate"] == 'Basic realm="logoutd", charset="UTF-8"'


async def test_an_application_acts_for_itself_only(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    session = await api.sign_in(idp, "shop")
    other = {"client_id": "wiki"}
    path = f"/api/v2/sessions/{session['session_id']}"
    sign_in = {"connection": "okta", "subject": {"iss": idp.issuer, "sub": "someone"}}
    shop = api.by("shop")
    for answer in (
        await api.post("/api/v2/sessions", {**sign_in, "clients": [other]}, by=shop),
        await api.post("/api/v2/sessions", {**sign_in, "clients": [{"client_id": "shop"}, other]}, by=shop),
        await api.post("/api/v2/sessions", {**sign_in, "clients": []}, by=shop),
        await api.post(f"{path}/clients", other, by=shop),
        await api.post("/api/v2/refresh-tokens", {**other, "session_id": session["session_id"]}, by=shop),
    ):
        refused(answer, 403, "access_denied", "application")


async def test_an_application_does_everything_for_itself(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop", "wiki")
    shop, wiki = api.by("shop"), api.by("wiki")
    signed_in = await api.post(
        "/api/v2/sessions",
        {
            "connection": "okta",
            "subject": {"iss": idp.issuer, "sub": "00u1ada"},
            "clients": [{"client_id": "shop", "sub": "ada-at-shop"}],
        },
        by=shop,
    )
    assert signed_in.status_code == 201
    session = signed_in.json()["session_id"]
    path = f"/api/v2/sessions/{session}"
    refused(await api.get(path, by=wiki), 404, "not_found")
    refused(await api.delete(path, by=wiki), 404, "not_found")
    assert (await api.post(f"{path}/clients", {"client_id": "wiki"}, by=wiki)).status_code == 201
    shown = (await api.get(path, by=wiki)).json()
    assert [each["client_id"] for each in shown["clients"]] == ["wiki"]
    assert "ada-at-shop" not in str(shown)
    token = await api.post("/api/v2/refresh-tokens", {"session_id": session, "client_id": "wiki"}, by=wiki)
    assert token.status_code == 201
    refused(await api.delete(path, by=wiki), 403, "access_denied", "shared")


async def test_an_application_may_end_a_session_that_is_its_own_alone(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    answer = await api.delete(f"/api/v2/sessions/{session['session_id']}", by=api.by("shop"))
    assert answer.status_code == 202
    assert set(answer.json()) == {"revocation_id"}


ODD = st.one_of(
    st.binary(max_size=80),
    st.binary(max_size=60).map(lambda each: b"Basic " + each),
    st.binary(max_size=60).map(lambda each: b"Basic " + base64.b64encode(each)),
    st.text(max_size=30).map(lambda each: b"basic " + base64.b64encode(each.encode("utf-8", "surrogatepass"))),
    st.binary(max_size=60).map(lambda each: b"Bearer " + each),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=ODD)
async def test_no_value_of_authorization_is_too_odd_to_be_refused(api: Api, value: bytes) -> None:
    for method, path in (
        ("GET", "/api/v2/clients"),
        ("GET", "/api/v2/sessions/ses_nothing"),
        ("POST", "/oauth/global-token-revocation/connection/okta"),
    ):
        answer = await api.http.request(method, path, headers=[(b"Authorization", value)])
        assert answer.status_code == 401
        assert answer.json()["error"] in {"invalid_token", "invalid_client"}
        assert answer.headers["www-authenticate"].isascii()


async def test_without_an_administrators_token_nobody_is_the_administrator(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with serving(redis_url, tmp_path_factory.mktemp("closed"), admin_token=SecretStr("")) as closed:
        for token in ("x", ADMIN_TOKEN):
            refused(await closed.get("/api/v2/clients", by=bearer(token)), 401, "invalid_token")
        refused(await closed.get("/api/v2/clients", by={"Authorization": "Bearer "}), 401, "invalid_token")
