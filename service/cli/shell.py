"""What every command over the API shares: where the service is, how its answer is shown, what a failure becomes."""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, NoReturn, ParamSpec

import typer

from service.cli.api import Api, ApiRefused, Unreachable, find_target
from service.cli.shown import plain, show_json
from service.settings import SettingsError

REFUSED: Final = 1
"""Exit status when the service refused, or what was waited for did not come true."""

USAGE: Final = 2
"""Exit status when the command line or the environment cannot be used; nothing was sent."""

UNREACHABLE: Final = 3
"""Exit status when the service cannot be reached; whether it had begun is not known."""

EXIT_CODES: Final = (
    "Exit status: 0 done; 1 the service refused or failed, its reason is on stderr; 2 the command line or the environment "
    "cannot be used, nothing was sent; 3 the service cannot be reached."
)

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed where there is no terminal to ask at.")]

_Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The service. Default: LOGOUTD_PUBLIC_URL, or the `logoutd dev` of this machine."
    ),
]
_TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Holds the administrator's token. Default: LOGOUTD_ADMIN_TOKEN or LOGOUTD_ADMIN_TOKEN_FILE, or the token "
        "that `logoutd dev` keeps.",
    ),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]

P = ParamSpec("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The service a command talks to, and whom it talks for."""

    api: Api
    as_json: bool

    def show(self, answer: Any, view: Callable[[Any], None]) -> None:
        """Print what the API answered: as JSON, or by `view`. Nothing where it answered nothing."""
        if answer is None:
            return
        if self.as_json:
            show_json(answer)
        else:
            view(answer)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on only if whoever sits at the terminal says so, or `yes`. Ends the command otherwise."""
        if yes:
            return
        if not sys.stdin.isatty():
            raise typer.BadParameter("there is no terminal to ask at: say --yes")
        # Not typer's own way to ask: it writes to standard output, which is for the answer.
        print(f"{plain(question)} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            say("nothing was changed")
            raise typer.Exit(REFUSED)


def group(text: str) -> typer.Typer:
    """A group of commands over the API."""
    return typer.Typer(help=text, epilog=EXIT_CODES, no_args_is_help=True, pretty_exceptions_enable=False)


def over_api(function: Callable[Concatenate[Shell, P], None]) -> Callable[..., None]:
    """A command that takes a Shell: its command line gets `--url`, `--token-file` and `--json` besides its own."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = {"url": (_Url, None), "token_file": (_TokenFile, None), "as_json": (_AsJson, False)}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in common.items()
    ]

    @functools.wraps(function)
    def command(**given: Any) -> None:
        url, token_file, as_json = (given.pop(name) for name in common)
        with failures_told():
            target = find_target(url=url, token_file=token_file)
            if target.in_the_clear:
                say(f"warning: {target.url} is plain http, and the administrator's token is sent over it")
            with Api(target) as api:
                function(Shell(api=api, as_json=as_json), **given)  # type: ignore[call-arg]  # by name, as typer read them

    # Typer reads both.
    command.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # functions may carry one
    command.__annotations__ = {each.name: each.annotation for each in [*own, *added]}
    return command


@contextmanager
def failures_told() -> Iterator[None]:
    """What went wrong is one line on stderr and an exit status that says whose fault it was."""
    try:
        yield
    except SettingsError as error:
        fail(str(error), USAGE)
    except ApiRefused as error:
        fail(str(error), REFUSED)
    except Unreachable as error:
        fail(str(error), UNREACHABLE)


def fail(text: str, status: int) -> NoReturn:
    """End the command with one line on stderr."""
    say(text)
    raise typer.Exit(status) from None


def say(text: str) -> None:
    """A line that is not the answer: on stderr."""
    print(f"logoutd: {plain(text)}", file=sys.stderr)
