"""deploy/Dockerfile, read instruction by instruction: how the image is built, from what, and what it runs as."""

import re
import shlex
import tomllib
from pathlib import Path

import yaml

from service.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """Every instruction: continued lines joined, comments left out."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined if line)]


def of(stage: str, word: str) -> list[str]:
    """What one stage says with one instruction; the stage without a name is what precedes the first FROM."""
    found, current = [], ""
    for each, rest in instructions():
        if each == "FROM":
            current = rest.rpartition(" AS ")[2]
        elif each == word and current == stage:
            found.append(rest)
    return found


def copied_from_context() -> set[str]:
    """Everything the image is built from, as paths from the top of the repository."""
    copies = [shlex.split(rest) for stage in ("builder", "runtime") for rest in of(stage, "COPY")]
    return {source for words in copies if not words[0].startswith("--from=") for source in words[:-1]}


def locked(path: Path) -> dict[str, list[str]]:
    """A lock's packages, each with its version and hashes."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in (each.strip(" \\") for each in path.read_text(encoding="utf-8").splitlines()):
        if line and not line.startswith("#"):
            name = name if line.startswith("--hash=") else re.split(r"[=\[; ]", line)[0]
            found.setdefault(name, []).append(line)
    return found


def test_the_image_is_built_in_two_stages_on_one_base_and_the_second_takes_only_the_environment() -> None:
    assert [rest for word, rest in instructions() if word == "FROM"] == [
        "${PYTHON_IMAGE} AS builder",
        "${PYTHON_IMAGE} AS runtime",
    ]
    assert of("", "ARG") == ["PYTHON_IMAGE=python:3.11-slim-bookworm"]
    assert of("runtime", "COPY") == ["--from=builder /opt/logoutd /opt/logoutd"]
    assert of("runtime", "RUN") == []


def test_the_image_runs_logoutd_as_a_numbered_user_and_serves_by_default() -> None:
    (user,) = of("runtime", "USER")
    assert [int(number) >= 10_000 for number in user.split(":")] == [True, True]
    assert of("runtime", "ENTRYPOINT") == ['["logoutd"]']
    assert of("runtime", "CMD") == ['["serve"]']
    assert of("runtime", "EXPOSE") == [str(Settings.model_fields["port"].default)]
    assert of("runtime", "HEALTHCHECK") == ["NONE"]
    assert of("runtime", "STOPSIGNAL") == ["SIGTERM"]
    assert "logoutd" in PROJECT["project"]["scripts"]


def test_the_working_folder_cannot_slip_a_module_of_its_own_in() -> None:
    assert of("runtime", "WORKDIR") == ["/"]
    (environment,) = of("runtime", "ENV")
    assert "PYTHONSAFEPATH=1" in environment.split()


def test_every_step_of_the_image_runs_without_a_shell() -> None:
    steps = [rest for word, rest in instructions() if word in {"RUN", "ENTRYPOINT", "CMD"}]
    assert len(steps) > 5
    for step in steps:
        words = yaml.safe_load(step)
        assert isinstance(words, list), step
        assert not {"sh", "bash", "-c"} & set(words), step


def test_everything_installed_into_the_image_has_a_hash_or_is_ours() -> None:
    steps = [yaml.safe_load(step) for step in of("builder", "RUN")]
    installs = [step for step in steps if {"install", "wheel"} & set(step)]
    assert len(installs) == 4
    for step in installs:
        locks = [word for word in step if word.endswith(".lock")]
        assert ("--require-hashes" in step and locks) or {"--no-deps", "--no-index"} <= set(step), step
    assert [step[-1] for step in installs if "--require-hashes" in step] == [
        "requirements-build.lock",
        "requirements.lock",
    ]


def test_the_image_says_what_it_is() -> None:
    (labels,) = of("runtime", "LABEL")
    for name in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in labels
    assert f'licenses="{PROJECT["project"]["license"]}"' in labels
    assert f"VERSION={PROJECT['project']['version']}" in of("runtime", "ARG")
    assert f"logoutd:{PROJECT['project']['version']} ." in DOCKERFILE


def test_the_image_is_built_from_paths_that_exist_and_that_dockerignore_lets_in() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in rules if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert copied_from_context() == {line.removeprefix("!") for line in rules if line.startswith("!")}
    assert {path for path in copied_from_context() if not (ROOT / path).exists()} == set()


def test_no_setting_and_no_secret_is_built_into_the_image() -> None:
    said = " ".join(rest for _, rest in instructions())
    assert PREFIX not in said
    assert "secret" not in said.lower()
    assert all((ROOT / path).suffix in {"", ".toml", ".lock", ".md"} for path in copied_from_context())


def test_the_build_backend_is_locked_as_the_development_lock_has_it() -> None:
    ours = locked(ROOT / "deploy" / "requirements-build.lock")
    theirs = locked(ROOT / ".ci" / "requirements-dev.lock")
    assert {re.split(r"[<>=~ ]", each)[0] for each in PROJECT["build-system"]["requires"]} <= set(ours)
    drifted = {name: theirs.get(name) for name in ours if ours[name] != theirs.get(name)}
    assert drifted == {}, "these lines of .ci/requirements-dev.lock belong into deploy/requirements-build.lock"
