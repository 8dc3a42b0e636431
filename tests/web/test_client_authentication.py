"""How an application proves itself where it sends a form (RFC 6749 section 2.3): by header or in the form, never both."""

from collections.abc import Mapping

import httpx
import pytest

from service.app import OPERATIONS
from tests.support.asgi import ADMINISTRATOR, NOBODY, Api, basic, refused
from tests.support.heard import listening

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATHS = [each.path for each in OPERATIONS if "client_secret" in each.form]
TOKEN = "a-token-of-no-meaning"


async def send(api: Api, path: str, by: Mapping[str, str] = NOBODY, **form: str) -> httpx.Response:
    return await api.http.post(path, data={"token": TOKEN, **form}, headers=dict(by))


async def test_every_form_of_an_application_takes_a_credential() -> None:
    assert set(PATHS) == {"/oauth/introspect", "/oauth/revoke"}
    assert set(PATHS) == {each.path for each in OPERATIONS if each.form and each.access.endswith("application")}


@pytest.mark.parametrize("path", PATHS)
async def test_section_2_3_1_id_and_secret_may_be_in_the_form(api: Api, path: str) -> None:
    secret = (await api.client("shop"))["client_secret"]
    assert (await send(api, path, client_id="shop", client_secret=secret)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_section_5_2_a_wrong_secret_an_unknown_client_and_none_are_answered_alike(api: Api, path: str) -> None:
    secret = (await api.client("shop"))["client_secret"]
    for form in (
        {"client_id": "shop", "client_secret": secret + "x"},
        {"client_id": "shop", "client_secret": secret.upper()},
        {"client_id": "nobody", "client_secret": secret},
        {"client_id": "", "client_secret": secret},
        {"client_secret": secret},
    ):
        with listening() as heard:
            answer = await send(api, path, **form)
        assert refused(answer, 401, "invalid_client") == "client authentication failed"
        assert answer.headers["www-authenticate"] == 'Basic realm="logoutd", charset="UTF-8"'
        assert secret not in answer.text + str(heard.lines)


@pytest.mark.parametrize("path", PATHS)
async def test_section_2_3_two_methods_at_once_are_refused(api: Api, path: str) -> None:
    secret = (await api.client("shop"))["client_secret"]
    form = {"client_id": "shop", "client_secret": secret}
    for by in (api.by("shop"), ADMINISTRATOR):
        refused(await send(api, path, by, **form), 400, "invalid_request", "one too many")
    # A header that proves nothing is that, whatever else is sent.
    refused(await send(api, path, basic("shop", "wrong"), **form), 401, "invalid_client")
    refused(await send(api, path, {"Authorization": "Digest x"}, **form), 401, "invalid_token")


@pytest.mark.parametrize("path", PATHS)
async def test_section_3_2_a_parameter_without_a_value_was_not_sent(api: Api, path: str) -> None:
    await api.client("shop")
    assert (await send(api, path, api.by("shop"), client_id="", client_secret="")).status_code == 200
    refused(await send(api, path, client_id="shop", client_secret=""), 401, "invalid_client", "missing")


@pytest.mark.parametrize("path", PATHS)
async def test_section_3_2_1_a_client_may_name_itself_beside_its_header_and_no_other(api: Api, path: str) -> None:
    await api.client("shop")
    assert (await send(api, path, api.by("shop"), client_id="shop")).status_code == 200
    refused(await send(api, path, api.by("shop"), client_id="wiki"), 400, "invalid_request", "`client_id`")
    assert (await send(api, path, ADMINISTRATOR, client_id="wiki")).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_section_2_3_1_a_credential_in_the_url_is_none(api: Api, path: str) -> None:
    secret = (await api.client("shop"))["client_secret"]
    refused(await send(api, f"{path}?client_id=shop&client_secret={secret}"), 401, "invalid_client", "missing")


@pytest.mark.parametrize("path", PATHS)
async def test_a_credential_in_a_form_is_none_where_it_is_sent_twice_or_the_body_is_no_form(
    api: Api, path: str
) -> None:
    secret = (await api.client("shop"))["client_secret"]
    raw = f"token=x&client_id=shop&client_secret={secret}".encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    twice = await api.call("POST", path, raw=raw + b"&client_id=shop", by=NOBODY, headers=form)
    assert secret not in refused(twice, 400, "invalid_request", "more than once")
    refused(await api.call("POST", path, raw=raw, by=NOBODY), 401, "invalid_client", "missing")


async def test_a_secret_in_a_form_opens_nothing_else(api: Api) -> None:
    secret = (await api.client("shop"))["client_secret"]
    form = {"client_id": "shop", "client_secret": secret}
    for path in ("/api/v2/sessions", "/api/v2/refresh-tokens", "/api/v2/refresh-tokens/rotate"):
        refused(await api.http.post(path, data=form), 401, "invalid_token")
