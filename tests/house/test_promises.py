"""deploy/README.md says what is promised under which fault, and by which test each line is held: all of them exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TITLE = "## What is promised under which fault"

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> dict[str, list[tuple[str, str]]]:
    """The table's lines by their fault, each with the files and tests it names."""
    _, _, rest = (ROOT / "deploy" / "README.md").read_text("utf-8").partition(TITLE)
    section, _, _ = rest.partition("\n## ")
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return {row.split("|")[1].strip(): NAMED.findall(row.split("|")[3]) for row in rows}


@cache
def defined_in(name: str) -> frozenset[str]:
    """The tests of one file; none where there is no such file."""
    path = ROOT / name
    if not path.is_file():
        return frozenset()
    defined = ast.parse(path.read_text("utf-8")).body
    return frozenset(each.name for each in defined if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_is_a_page() -> None:
    assert len(promises()) > 10


@pytest.mark.parametrize("fault", promises())
def test_every_line_names_tests_and_they_exist(fault: str) -> None:
    named = promises()[fault]
    assert named, "a promise that nothing holds"
    assert [f"{file}::{test}" for file, test in named if test not in defined_in(file)] == []
