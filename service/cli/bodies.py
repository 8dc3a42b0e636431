"""Request bodies from a command line: a JSON file, options laid over it, and secrets only ever from files."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

SECRET_OPTIONS: Final = ("client_secret", "decryption_jwk", "okta_event_hook_secret")
"""Members of `options` that are not taken from an argument: every process of the machine can read those."""

File = Annotated[
    str | None,
    typer.Option("--file", "-f", metavar="FILE", help="The JSON body as the API takes it; - is standard input."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="A member of `options`; true, false, null, [..] and {..} are read as JSON. May be repeated.",
    ),
]
OptionFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--option-file",
        metavar="NAME=FILE",
        help="A member of `options` that stands in a file, as secrets must. May be repeated.",
    ),
]


def read_file(name: str | None) -> dict[str, Any]:
    """The body in a file, `-` for standard input; empty where no file is named. Ends the command when it is none."""
    if name is None:
        return {}
    text = sys.stdin.read() if name == "-" else read_text(Path(name), "--file")
    body = read_json(text, "--file")
    if not isinstance(body, dict):
        raise typer.BadParameter("--file does not hold a JSON object")
    return body


def read_json(text: str, what: str) -> Any:
    """JSON, or the end of the command."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise typer.BadParameter(f"{what} does not hold JSON") from None


def read_options(given: Sequence[str] | None, files: Sequence[str] | None) -> dict[str, Any]:
    """Members of `options` from `NAME=VALUE` and `NAME=FILE`."""
    members: dict[str, Any] = {}
    for each in given or ():
        name, value = _pair(each, "--option")
        if name in SECRET_OPTIONS and value != "null":
            raise typer.BadParameter(f"{name} would show in the list of processes: use --option-file {name}=FILE")
        members[name] = _value(value, f"--option {name}")
    for each in files or ():
        name, path = _pair(each, "--option-file")
        text = read_text(Path(path), f"--option-file {name}").strip()
        members[name] = _value(text, f"--option-file {name}")
    return members


def given_only(**members: object) -> dict[str, Any]:
    """The members that were given."""
    return {name: value for name, value in members.items() if value is not None}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise typer.BadParameter(f"{option} is NAME=…")
    return name, value


def _value(text: str, what: str) -> Any:
    # Numbers stay text: an identifier of digits is still one.
    return read_json(text, what) if text in {"true", "false", "null"} or text.startswith(("{", "[")) else text


def read_text(path: Path, what: str) -> str:
    """A file's text, or the end of the command."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{what}: the file cannot be read ({type(error).__name__})") from None
