"""The house's own rules: what may lie where, how long a file may be, what is said of everything public."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("service", "workers") for path in (ROOT / folder).rglob("*") if path.is_file())
PYTHON = [path for path in SOURCES if path.suffix == ".py"]

TOP = {
    "pyproject.toml",
    "README.md",
    "service",
    "workers",
    "tests",
    "deploy",
    "Makefile",
    "LICENSE",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "requirements.lock",
}
"""What lies at the top, besides names that begin with a dot."""

MADE = {"__pycache__", "build", "dist", "data"}
"""What tools leave there, and git ignores."""

LONGEST = 300
"""Lines in a file beyond which it is two."""

NAMES_OF_NOTHING = re.compile(r"utils?|helpers?|commons?|managers?|misc", re.IGNORECASE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_nothing_lies_at_the_top_that_was_not_agreed() -> None:
    there = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert there - MADE == TOP


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    text = [path for path in SOURCES if path.suffix in {".py", ".lua"}]
    lengths = {named(path): len(path.read_text(encoding="utf-8").splitlines()) for path in text}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_file_is_named_for_nothing_in_particular() -> None:
    everything = [path for folder in ("service", "workers", "tests") for path in (ROOT / folder).rglob("*")]
    parts = {part for path in everything for part in path.relative_to(ROOT).with_suffix("").parts}
    words = {part: part.removeprefix("test_").split("_") for part in parts}
    assert {part for part, each in words.items() if any(NAMES_OF_NOTHING.fullmatch(word) for word in each)} == set()


@pytest.mark.parametrize("word", ["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"])
def test_nothing_is_left_to_be_done_in_a_comment(word: str) -> None:
    folders = [ROOT / name for name in ("service", "workers", "tests", "deploy", ".ci")]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    files += [ROOT / name for name in TOP if (ROOT / name).is_file()]
    for path in files:
        # What a fuzzer found is bytes, and nobody's words.
        if path.suffix not in {".pyc", ".lock"} and "corpora" not in path.parts:
            assert not re.search(rf"\b{word}\b", path.read_text(encoding="utf-8")), named(path)


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        called = {
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
        }
        assert not called & {"skip", "skipif", "skipUnless", "skipIf", "xfail", "importorskip"}, named(path)


def test_no_exception_is_passed_over_in_silence() -> None:
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{named(path)}:{node.lineno} catches everything"
                assert not (len(node.body) == 1 and isinstance(node.body[0], ast.Pass)), f"{named(path)}:{node.lineno}"


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Everything in a module that has a name without an underscore, and the like in its public classes."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                waiting += node.body


def test_everything_public_says_what_it_is() -> None:
    silent = []
    for path in PYTHON:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            silent.append(named(path))
        silent += [f"{named(path)}:{node.lineno} {node.name}" for node in public(tree) if not ast.get_docstring(node)]
    assert silent == []


def test_every_limit_says_its_unit_and_reason() -> None:
    """A public constant that is a number is followed by a docstring."""
    silent = []
    for path in PYTHON:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for node, following in zip(body, [*body[1:], None], strict=True):
            match node:
                case (
                    ast.AnnAssign(target=ast.Name(id=name), value=value)
                    | ast.Assign(targets=[ast.Name(id=name)], value=value)
                ):
                    number = isinstance(value, ast.Constant | ast.BinOp) and name.isupper() and not name.startswith("_")
                case _:
                    continue
            if number and isinstance(value, ast.Constant) and not isinstance(value.value, int | float):
                continue
            told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if number and not told:
                silent.append(f"{named(path)}:{node.lineno} {name}")
    assert silent == []
