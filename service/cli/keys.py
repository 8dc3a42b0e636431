"""`logoutd keys …`: our signing keys, made, looked at, rotated and retired."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.durations import parse_duration
from service.cli.errors import one_line_errors
from service.cli.key_places import tell_places
from service.domain.clock import SystemClock
from service.domain.connection import SIGNING_ALGORITHMS
from service.keys.private_file import only_one_changes, replace_private_file
from service.keys.signing_keys import decode_signing_keys, parse_signing_keys, read_signing_keys
from service.keys.times import USE_AFTER_S

keys = typer.Typer(help="Our signing keys.", no_args_is_help=True)

File = Annotated[
    Path,
    typer.Option("--file", help="The private JWKS.", envvar="LOGOUTD_SIGNING_KEYS_FILE", show_default=False),
]
Print = Annotated[
    bool,
    typer.Option("--print", help="Print the new private JWKS, for a Secret, and leave the file as it is."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@keys.command("generate")
def keys_generate() -> None:
    """Print new private keys as a JWKS, one for each algorithm: the content of LOGOUTD_SIGNING_KEYS_FILE."""
    from service.keys.generate import generate_signing_keys  # noqa: PLC0415 - it takes its time to load

    print(_text(generate_signing_keys()), end="")


@keys.command("list")
def keys_list(*, file: File, as_json: AsJson = False) -> None:
    """Show each key and its place in its life: next, current or previous. Nothing private is shown."""
    with one_line_errors():
        document = decode_signing_keys(read_signing_keys(file))
        tell_places(parse_signing_keys(document).places(now_s=_now_s()), as_json=as_json, out=sys.stdout)


@keys.command("rotate")
def keys_rotate(
    *,
    file: File,
    alg: Annotated[
        list[str] | None,
        typer.Option(
            "--alg", help="Only this algorithm; may be given several times. Default: all four.", show_default=False
        ),
    ] = None,
    use_after: Annotated[
        int,
        typer.Option(
            help="How long the new keys are published before they sign, such as 36h, counted from now: with --print, put "
            "them in place at once.",
            parser=parse_duration,
            metavar="DURATION",
        ),
    ] = f"{USE_AFTER_S // 3600}h",  # type: ignore[assignment]  # typer parses a default like any other text
    to_print: Print = False,
    as_json: AsJson = False,
) -> None:
    """Add the next key of each algorithm: published at once, signing later. Running processes see it by themselves."""
    from service.keys.rotate import add_next_keys  # noqa: PLC0415 - as above

    if unknown := [each for each in alg or () if each not in SIGNING_ALGORITHMS]:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(SIGNING_ALGORITHMS)}", param_hint="--alg")

    def change(document: Any, now_s: int) -> tuple[Any, Sequence[str]]:
        return add_next_keys(document, now_s=now_s, algorithms=alg or SIGNING_ALGORITHMS, use_after_s=use_after)

    with one_line_errors():
        _change(file, change, to_print=to_print, as_json=as_json)


# A `kid` is a thumbprint, and one in sixty-four begins as an option does.
@keys.command("retire", context_settings={"ignore_unknown_options": True})
def keys_retire(
    *,
    kids: Annotated[list[str] | None, typer.Argument(metavar="[KID]...", show_default=False)] = None,
    replaced: Annotated[
        bool, typer.Option("--replaced", help="Every key that was replaced long enough ago, if there is any.")
    ] = False,
    file: File,
    to_print: Print = False,
    as_json: AsJson = False,
) -> None:
    """Take keys out for good: they are published no more. Refused while an application may still need one of them."""
    from service.keys.rotate import remove_keys, replaced_keys  # noqa: PLC0415 - as above

    if replaced is bool(kids):
        raise typer.BadParameter("name the keys, or say --replaced", param_hint="KID")

    def change(document: Any, now_s: int) -> tuple[Any, Sequence[str]]:
        return remove_keys(document, kids or replaced_keys(document, now_s=now_s), now_s=now_s), ()

    with one_line_errors():
        _change(file, change, to_print=to_print, as_json=as_json)


def _change(
    file: Path, change: Callable[[Any, int], tuple[Any, Sequence[str]]], *, to_print: bool, as_json: bool
) -> None:
    """Change the file, or print what it would be, and tell what there is now; `change` names the keys it has made."""
    with nullcontext() if to_print else only_one_changes(file):
        document, now_s = decode_signing_keys(read_signing_keys(file)), _now_s()
        changed, made = change(document, now_s)
        if not to_print and changed != document:
            replace_private_file(file, _text(changed))
    places = parse_signing_keys(changed).places(now_s=now_s)
    if to_print:
        print(_text(changed), end="")
    tell_places(places, as_json=as_json, out=sys.stderr if to_print else sys.stdout, made=made)


def _text(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"


def _now_s() -> int:
    return SystemClock().now_ms() // 1000
