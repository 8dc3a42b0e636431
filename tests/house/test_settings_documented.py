"""Every setting is told to operators, and does something."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from service.settings import PREFIX, SECRETS, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
OF_SETTINGS = ("settings.py", "delivery_settings.py")
FIELDS = list(Settings.model_fields)


def attributes_of(tree: ast.AST) -> set[str]:
    """Every name that is read from something."""
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def read_by_properties() -> dict[str, set[str]]:
    """The fields each property of Settings stands for."""
    trees = [ast.parse((ROOT / "service" / name).read_text(encoding="utf-8")) for name in OF_SETTINGS]
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    return {
        node.name: attributes_of(node) & set(FIELDS)
        for each in classes
        for node in each.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)
    }


@cache
def used() -> set[str]:
    """The names read from settings anywhere but in settings.py."""
    found: set[str] = set()
    for path in [*(ROOT / "service").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]:
        if path != ROOT / "service" / "settings.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Attribute(value=ast.Name(id="settings"), attr=name):
                        found.add(name)
                    case ast.Attribute(value=ast.Attribute(attr="settings"), attr=name):
                        found.add(name)
                    case _:
                        pass
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_is_used(name: str) -> None:
    through = {field for each in used() for field in read_by_properties().get(each, {each})}
    assert name in through, f"{name} changes nothing"


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_is_in_the_operators_table_with_what_it_means(name: str) -> None:
    (row,) = re.findall(rf"^\| `{PREFIX}{name.upper()}`.*$", PAGE, flags=re.MULTILINE)
    description = Settings.model_fields[name].description
    assert description
    assert description in row
    assert (f"`{PREFIX}{name.upper()}_FILE`" in row) == (name.upper() in SECRETS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_number_among_the_settings_says_its_unit(name: str) -> None:
    field = Settings.model_fields[name]
    if field.annotation is int:
        assert re.search(r"in days|in seconds|in milliseconds|TCP port|Most |How many ", field.description or "")


def test_every_variable_any_page_names_is_a_setting() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in FIELDS} | {f"{PREFIX}{name}_FILE" for name in SECRETS}
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile"):
        named = re.findall(rf"\b{PREFIX}[A-Z_]+[A-Z]\b", (ROOT / page).read_text(encoding="utf-8"))
        assert set(named) <= known, page
