"""/openapi.json is valid, and says of the routes what they do."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.app import OPERATIONS, create_app
from service.settings import Settings
from service.web.openapi import TAGS
from tests.support.asgi import NOBODY, PUBLIC_URL, Api
from tests.support.identity_provider import IdentityProvider
from tests.web.examples import READING, name_of, prepare

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read(api: Api) -> dict[str, Any]:
    answer = await api.get("/openapi.json", by=NOBODY)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_it_is_a_valid_openapi_document(api: Api) -> None:
    document = await read(api)
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": PUBLIC_URL}]


async def test_every_reference_in_it_leads_somewhere(api: Api) -> None:
    document = await read(api)
    references = re.findall(r"'\$ref': '([^']+)'", str(document))
    assert references
    for each in references:
        found: Any = document
        for part in each.removeprefix("#/").split("/"):
            found = found[part]


async def test_what_is_served_is_documented_and_what_is_documented_is_served(api: Api) -> None:
    document = await read(api)
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = {
        (method, route.path)
        for route in create_app(Settings()).routes
        for method in route.methods  # type: ignore[attr-defined]
        if method != "HEAD"
    }
    assert documented == served == {(each.method, each.path) for each in OPERATIONS}


async def test_every_operation_has_a_name_of_its_own_and_a_summary(api: Api) -> None:
    document = await read(api)
    operations = [each for item in document["paths"].values() for each in item.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert all(each["summary"] and each["tags"] for each in operations)


async def test_every_placeholder_of_a_path_is_a_parameter(api: Api) -> None:
    for path, item in (await read(api))["paths"].items():
        for operation in item.values():
            there = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert there == re.findall(r"\{([a-z_]+)\}", path)


async def test_who_may_call_is_told_by_security_schemes_and_true(api: Api) -> None:
    document = await read(api)
    schemes = document["components"]["securitySchemes"]
    assert {(each["type"], each.get("scheme", each.get("name"))) for each in schemes.values()} == {
        ("http", "bearer"),
        ("http", "basic"),
        ("apiKey", "Authorization"),
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            needed = {name for each in operation["security"] for name in each}
            assert needed <= set(schemes)
            answer = await api.call(method.upper(), path.replace("{", "").replace("}", ""), by=NOBODY)
            assert (answer.status_code == 401) == bool(needed), (method, path)
            assert ("401" in operation["responses"]) == bool(needed), (method, path)
            challenge = answer.headers.get("www-authenticate", "")
            assert challenge.startswith("Bearer") == bool(needed)


@pytest.mark.parametrize("name", [name_of(each) for each in READING])
async def test_the_body_that_is_documented_is_the_body_that_is_read(api: Api, idp: IdentityProvider, name: str) -> None:
    """The least a route takes has all members the document requires and no other; the answer's status is documented."""
    document = await read(api)
    example = (await prepare(api, idp))[name]
    method, _, path = name.partition(" ")
    operation = document["paths"][path][method.lower()]
    schema = resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
    body = example.body
    if schema.get("type") == "array":
        assert isinstance(body, list)
        schema, body = resolved(document, schema["items"]), body[0]
    assert set(schema.get("required", ())) <= set(body) <= set(schema["properties"])
    assert schema["additionalProperties"] is False
    (described,) = [each for each in READING if name_of(each) == name]
    assert operation["requestBody"]["required"] is not described.body_may_be_absent

    answer = await api.call(method, example.path, example.body)

    assert answer.is_success, answer.text
    assert str(answer.status_code) in operation["responses"]


async def test_every_member_a_body_may_have_is_documented_under_the_right_model(api: Api) -> None:
    document = await read(api)
    for each in READING:
        operation = document["paths"][each.path][each.method.lower()]
        schema = resolved(document, operation["requestBody"]["content"]["application/json"]["schema"])
        assert each.body is not None
        fields = set(each.body.model_fields)
        assert fields == {"root"} or set(schema["properties"]) == fields


async def test_forms_and_queries_are_documented(api: Api) -> None:
    document = await read(api)
    for each in OPERATIONS:
        operation = document["paths"][each.path][each.method.lower()]
        assert [one["name"] for one in operation["parameters"] if one["in"] == "query"] == [*each.query]
        if each.form:
            content = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]
            assert tuple(content["schema"]["properties"]) == each.form


async def test_every_success_says_what_it_holds() -> None:
    """Whoever adds an operation says what it answers: `answers` of its record."""
    bare = {204, 304}
    silent = {"POST /oauth/revoke"}  # RFC 7009 section 2.2: the body is to be ignored, and is none
    missing = [
        f"{each.method} {each.path} {status}"
        for each in OPERATIONS
        for status in each.responses
        if status < 400 and status not in bare and status not in each.answers and name_of(each) not in silent
    ]
    assert missing == []


async def test_every_answer_that_is_described_is_one_that_is_given() -> None:
    for each in OPERATIONS:
        assert set(each.answers) <= set(each.responses), name_of(each)
        assert set(each.schemas) <= {
            *re.findall(r"\{([a-z_]+)\}", each.path),
            *each.query,
            *each.form,
            *each.required_headers,
        }


async def test_every_tag_is_told_of(api: Api) -> None:
    document = await read(api)
    assert {each.tag for each in OPERATIONS} == {each["name"] for each in document["tags"]} == set(TAGS)
    assert all(each["description"] for each in document["tags"])


async def test_every_operation_that_reads_a_body_has_an_example_the_schema_allows(api: Api) -> None:
    document = await read(api)
    for each in OPERATIONS:
        operation = document["paths"][each.path][each.method.lower()]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = {**content["schema"], "components": document["components"]}
            assert [found.message for found in Draft202012Validator(schema).iter_errors(content["example"])] == [], (
                each.path
            )


async def test_the_statuses_of_refusals_are_documented_for_every_operation(api: Api) -> None:
    """Without a credential, for something that is not there, with a member nobody knows: `hold_as_documented` looks at each
    answer; here it is made sure that there are such answers."""
    document = await read(api)
    for each in OPERATIONS:
        told = document["paths"][each.path][each.method.lower()]["responses"]
        path = re.sub(r"\{[a-z_]+\}", "nothing", each.path)
        if each.access.startswith("administrator"):
            assert (await api.call(each.method, path, by=NOBODY)).status_code == 401
            assert {"401", "503"} <= set(told), each.path
        if each.access.startswith("administrator") and "{" in each.path:
            body = None if each.body is None else {"client_id": "x"} if each.path.endswith("}/clients") else {}
            answer = await api.call(each.method, path, [] if each.method == "PATCH" and body else body)
            assert answer.status_code == 404, each.path
        if each.body is not None and "{" not in each.path:
            answer = await api.call(each.method, path, {"nobody-knows": 1})
            assert answer.status_code == 400
            assert "nobody-knows" in answer.json()["error_description"]
        if each.query:
            assert (await api.get(f"{each.path.replace('{', '').replace('}', '')}?nobody=knows")).status_code in {
                400,
                404,
                405,
            }


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A schema, or the one it refers to."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
