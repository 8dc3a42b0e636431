"""Every route is listed once, wired, in the operators' table and in no page by a wrong name."""

import importlib
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import service.admin
import service.receive
import service.web
from service.app import OPERATIONS
from service.web.operation import Operation, build_routes

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md", "deploy/okta/README.md"]


def rim() -> Iterator[ModuleType]:
    """Every module that may hold an endpoint."""
    for room in (service.receive, service.admin, service.web):
        for found in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
            yield importlib.import_module(found.name)


def test_every_operation_of_every_module_is_served() -> None:
    listed = [each for module in rim() for each in getattr(module, "OPERATIONS", ())]
    assert set(map(id, listed)) <= set(map(id, OPERATIONS))
    # The documents about all of them cannot be listed by any of them.
    assert {each.path for each in OPERATIONS} - {each.path for each in listed} == {"/openapi.json", "/docs"}


def test_every_endpoint_that_is_written_is_wired() -> None:
    """An endpoint is a public coroutine function of one request."""
    written = {
        function.__name__
        for module in rim()
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if not name.startswith("_")
        and function.__module__ == module.__name__
        and [*inspect.signature(function).parameters] == ["request"]
        and "Response" in str(inspect.signature(function).return_annotation)
    }
    assert written
    assert written <= {each.endpoint.__name__ for each in OPERATIONS}


def test_no_two_operations_are_the_same() -> None:
    assert max(Counter((each.method, each.path) for each in OPERATIONS).values()) == 1
    assert max(Counter(each.endpoint.__name__ for each in OPERATIONS).values()) == 1
    twice = (OPERATIONS[0], OPERATIONS[0])
    with pytest.raises(ValueError, match="is there twice"):
        build_routes(twice)


def test_no_path_hides_behind_another() -> None:
    """Routes are tried in turn: a template must not swallow a path that is listed after it."""
    routes = build_routes(OPERATIONS)
    for number, route in enumerate(routes):
        example = re.sub(r"\{[a-z_]+\}", "x", route.path)
        assert [each.path_regex.match(example) is not None for each in routes[: number + 1]].index(True) == number


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_an_operation_says_what_it_does_and_answers(operation: Operation) -> None:
    assert operation.summary
    assert operation.tag
    assert any(200 <= status < 300 for status in operation.responses)
    assert operation.method != "GET" or not (operation.body or operation.body_schema or operation.form)
    assert operation.access == "anyone" or not operation.path.startswith("/.well-known/")
    assert not operation.path.startswith("/api/") or operation.access.startswith("administrator")
    assert not operation.path.endswith("/")


def test_the_operators_table_says_of_every_path_who_calls_it() -> None:
    table = DEPLOY.partition("| path | who calls |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`/.*?) \|", table, flags=re.MULTILINE)
    prefixes = [each.removesuffix("…") for row in rows for each in re.findall(r"`([^`]+)`", row)]
    for each in OPERATIONS:
        assert [prefix for prefix in prefixes if each.path.startswith(prefix)], f"{each.path} is in no row"
    for prefix in prefixes:
        assert [each for each in OPERATIONS if each.path.startswith(prefix)], f"{prefix} is not served"


@pytest.mark.parametrize("page", PAGES)
def test_every_path_of_ours_a_page_names_is_served(page: str) -> None:
    served = [re.sub(r"\\\{[a-z_]+\\\}", r"[^/]+", re.escape(each.path)) for each in OPERATIONS]
    text = (ROOT / page).read_text(encoding="utf-8")
    # A call by its method, or a URL that begins with our variable; what belongs to identity providers is left alone.
    named = re.findall(r"`(?:GET|POST|PATCH|DELETE) (/[^`\s?]*)", text)
    named += re.findall(r"\$(?:LOGOUTD|URL|\{LOGOUTD\})(/[^\"'?\s]*)", text)
    for path in named:
        assert any(re.fullmatch(each, path) for each in served), f"{page} names {path}"
