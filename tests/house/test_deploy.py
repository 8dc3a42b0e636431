"""deploy/ against the product: every variable, command, metric and reason its pages name is one that exists."""

import re
from pathlib import Path

import pytest
import typer
from pydantic import SecretStr

from service import cli
from service.delivery_settings import DeliverySettings
from service.settings import PREFIX, SECRETS, Settings, SettingsError, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
README = (DEPLOY / "README.md").read_text(encoding="utf-8")
OKTA = (DEPLOY / "okta" / "README.md").read_text(encoding="utf-8")

INJECTED = f"{PREFIX}SERVICE_HOST"
"""What Kubernetes sets for a Service named logoutd; the pages and manifests warn of it."""


def files() -> list[Path]:
    """Everything in deploy/ that is committed."""
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file() and not {"secrets", ".env"} & set(path.parts))


def commands() -> dict[str, set[str]]:
    """The commands `logoutd` has, each with its own."""
    groups = [typer.main.get_group(each) for each in vars(cli).values() if isinstance(each, typer.Typer)]
    (root,) = [group for group in groups if "serve" in group.commands]
    return {name: set(getattr(command, "commands", ())) for name, command in root.commands.items()}


def sources(folder: str) -> str:
    """All of a folder's Python."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).rglob("*.py")))


def test_every_command_the_pages_name_exists() -> None:
    pages = f"{DOCKERFILE}\n{README}\n{OKTA}"
    named = re.findall(r"(?:`logoutd|-- logoutd|--rm service|--rm logoutd:[0-9.]+) ([a-z]+)(?: ([a-z]+))?", pages)
    there = commands()
    assert {command for command, _ in named} >= {"serve", "work", "check", "keys"}
    assert {command for command, _ in named} <= set(there)
    assert {(command, sub) for command, sub in named if sub and sub not in there[command]} == set()


def test_every_variable_deploy_names_is_one_the_product_reads() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}{name}_FILE" for name in SECRETS}
    for path in files():
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8")))
        assert named - known - {INJECTED} == set(), path


def row_of(name: str) -> str:
    """The line of the settings table a setting should have."""
    field = Settings.model_fields[name]
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    variable = f"`{PREFIX}{name.upper()}`" + (f", `{PREFIX}{name.upper()}_FILE`" if name.upper() in SECRETS else "")
    default = str(default).lower() if isinstance(default, bool) else default
    shown = "–" if default in ("", None, ()) else f"`{default}`"  # noqa: RUF001 - a dash for "none"
    return f"| {variable} | {shown} | {field.description} |"


def test_the_settings_table_is_the_settings_in_the_order_of_the_code() -> None:
    of_deliveries = [row_of(name) for name in DeliverySettings.model_fields]
    others = [row_of(name) for name in Settings.model_fields if name not in DeliverySettings.model_fields]
    listed = re.findall(rf"^\| `{PREFIX}.*$", README, flags=re.MULTILINE)
    began = listed.index(of_deliveries[0])
    assert listed[began : began + len(of_deliveries)] == of_deliveries
    assert [*listed[:began], *listed[began + len(of_deliveries) :]] == others


def test_a_variable_that_kubernetes_would_inject_is_an_error_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INJECTED, "10.0.0.1")
    with pytest.raises(SettingsError, match=f"{INJECTED} is not a setting"):
        load_settings()


def test_the_page_lists_every_metric_and_no_other() -> None:
    counted = set(re.findall(r'"(logoutd_[a-z_]+)"', sources("service")))
    listed = re.findall(r"^\| `(logoutd_[a-z_]+)`", README, flags=re.MULTILINE)
    assert {name.removesuffix("_total") for name in listed} == {name.removesuffix("_total") for name in counted}


def test_the_okta_page_explains_every_status_and_only_reasons_that_are_given() -> None:
    statuses = re.findall(r"^\| (\d{3}) \|", OKTA, flags=re.MULTILINE)
    assert statuses == ["204", "400", "401", "403", "404", "413", "415", "422", "429", "503"]
    (table,) = re.findall(r"^\| reason \| usually \|\n\|---\|---\|\n(.*?)\n\n", OKTA, flags=re.MULTILINE | re.DOTALL)
    reasons = [reason for row in table.splitlines() for reason in re.findall(r"`([a-z_]+)`", row.split("|")[1])]
    assert len(reasons) > 8
    refusals = sources("service/verify") + sources("service/receive")
    assert [reason for reason in reasons if f'"{reason}"' not in refusals] == []


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in (DEPLOY / "README.md", DEPLOY / "okta" / "README.md"):
        text = page.read_text(encoding="utf-8")
        headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)}
        for path, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
            assert (page.parent / path).exists(), f"{page}: {path}"
            assert not anchor or path or anchor in headings, f"{page}: #{anchor}"


def test_deploy_names_no_package_index_and_no_registry() -> None:
    hosts = ("pypi.", "pythonhosted", "docker.io", "ghcr.io", "quay.io", "gcr.io", "index-url", "://registry")
    for path in (*files(), ROOT / ".dockerignore"):
        text = path.read_text(encoding="utf-8").lower()
        assert [host for host in hosts if host in text] == [], path
