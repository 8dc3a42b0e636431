"""Forms (RFC 6749 section 3.1 and appendix B): one parameter once, UTF-8, of the right type."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from service.app import OPERATIONS
from service.web.bodies import MAX_BODY_BYTES, MAX_FORM_FIELDS
from tests.support.asgi import ADMINISTRATOR, Api, refused
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORM = "application/x-www-form-urlencoded"
READING = [each.path for each in OPERATIONS if each.form and each.access.startswith("administrator")]
FIRST = {each.path: each.form[0] for each in OPERATIONS if each.form}


async def send(api: Api, path: str, raw: bytes | AsyncIterator[bytes], kind: str | None = FORM) -> httpx.Response:
    headers: Mapping[str, str] = {} if kind is None else {"Content-Type": kind}
    return await api.call("POST", path, raw=raw, headers=headers)


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize(
    "kind", [None, "", "application/json", "multipart/form-data; boundary=x", "text/plain", "x" + FORM]
)
async def test_a_body_of_another_type_is_415(api: Api, path: str, kind: str | None) -> None:
    refused(await send(api, path, f"{FIRST[path]}=a".encode(), kind), 415, "invalid_request", FORM)


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize("kind", [FORM, FORM.upper(), f"{FORM}; charset=UTF-8", f"{FORM} ;charset=iso-8859-1"])
async def test_the_type_is_read_in_any_case_and_with_parameters(api: Api, path: str, kind: str) -> None:
    assert (await send(api, path, f"{FIRST[path]}=a".encode(), kind)).status_code == 200


@pytest.mark.parametrize("path", READING)
async def test_the_first_parameter_must_be_there_with_a_value(api: Api, path: str) -> None:
    for raw in (b"", b"other=1", f"{FIRST[path]}=".encode(), f"{FIRST[path]}".encode(), b"=a", b"&&&"):
        refused(await send(api, path, raw), 400, "invalid_request", f"`{FIRST[path]}` is missing")


@pytest.mark.parametrize("path", READING)
async def test_a_parameter_that_is_there_twice_is_refused(api: Api, path: str) -> None:
    for raw in (f"{FIRST[path]}=a&{FIRST[path]}=a", f"{FIRST[path]}=a&{FIRST[path]}=b", f"{FIRST[path]}=a&x=1&x=1"):
        refused(await send(api, path, raw.encode()), 400, "invalid_request", "more than once")


@pytest.mark.parametrize("path", READING)
async def test_what_is_no_utf_8_is_refused(api: Api, path: str) -> None:
    for value in (b"%ff", b"%C3%28", b"\xff", b"%ED%A0%80"):
        refused(await send(api, path, FIRST[path].encode() + b"=" + value), 400, "invalid_request", "malformed")


@pytest.mark.parametrize("path", READING)
async def test_parameters_nobody_knows_are_left_alone_up_to_a_number(api: Api, path: str) -> None:
    """RFC 6749 section 3.1: unrecognised parameters are ignored."""
    first = f"{FIRST[path]}=a"
    some = "".join(f"&x{number}=1" for number in range(MAX_FORM_FIELDS - 1))
    assert (await send(api, path, (first + some).encode())).status_code == 200
    refused(await send(api, path, (first + some + "&one=more").encode()), 400, "invalid_request", str(MAX_FORM_FIELDS))


@pytest.mark.parametrize("path", READING)
async def test_a_form_of_more_than_64_kib_is_413(api: Api, path: str) -> None:
    refused(await send(api, path, b"x" * (MAX_BODY_BYTES + 1)), 413, "request_too_large")


async def test_a_plus_is_a_space_and_percent_encoding_is_undone(api: Api, idp: IdentityProvider) -> None:
    await api.connection(idp, "shop")
    session = await api.sign_in(idp, "shop")
    token = "a token with spaces + and = signs & \u20ac"
    await api.refresh_token(session, "shop", token=token)
    encoded = b"token=a+token%20with+spaces+%2B+and+%3d+signs+%26+%E2%82%AC"
    assert (await send(api, "/oauth/introspect", encoded)).json()["active"] is True


async def test_parameters_in_the_query_are_not_read(api: Api) -> None:
    answer = await api.call(
        "POST", "/oauth/introspect?token=a", raw=b"", by=ADMINISTRATOR, headers={"Content-Type": FORM}
    )
    refused(answer, 400, "invalid_request", "`token` is missing")
