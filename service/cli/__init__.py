"""The command line: what runs logoutd (`dev`, `serve`, `work`, `demo`, `check`, `keys`), and the management API in a shell."""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from service.cli.audit import audit
from service.cli.clients import clients
from service.cli.connections import connections
from service.cli.deliveries import deliveries
from service.cli.errors import one_line_errors
from service.cli.keys import keys
from service.cli.okta import okta
from service.cli.refresh_tokens import refresh_tokens
from service.cli.revocations import revocations
from service.cli.sessions import sessions
from service.cli.shell import EXIT_CODES
from service.dev.child import module_command, module_environment
from service.dev.folder import default_folder
from service.dev.run import run_dev

# Typer's own tracebacks show local variables, and some of ours are secrets.
app = typer.Typer(
    name="logoutd",
    help="Universal logout: an identity provider signs a person out, every refresh token dies at once, "
    "every application is told.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(keys, name="keys")
app.add_typer(connections, name="connections")
app.add_typer(clients, name="clients")
app.add_typer(clients, name="applications", help="The same as `clients`.")
app.add_typer(sessions, name="sessions")
app.add_typer(refresh_tokens, name="refresh-tokens")
app.add_typer(revocations, name="revocations")
app.add_typer(deliveries, name="deliveries")
app.add_typer(audit, name="audit")
app.add_typer(okta, name="okta")


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            print(version("logoutd"))
        except PackageNotFoundError:
            print("unknown: run from a source tree, not installed")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def dev(
    *,
    port: Annotated[
        int,
        typer.Option(help="TCP port of the service; 0 takes any free one.", envvar="LOGOUTD_PORT", min=0, max=65535),
    ] = 8000,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where everything is kept. Default: a folder of this user's.", show_default=False),
    ] = None,
) -> None:
    """Run everything on this machine: a Redis of its own, the service, a worker.

    Prints one line of JSON, with the URL and the administrator's token, once it is ready. Logs go to stderr.
    """
    with one_line_errors():
        raise typer.Exit(run_dev(port=port, data_dir=data_dir or default_folder(), out=sys.stdout))


@app.command()
def serve() -> None:
    """Run the HTTP service, on the Redis and the keys the environment names."""
    _become("service")


@app.command()
def work() -> None:
    """Run a worker, on the Redis and the keys the environment names."""
    _become("workers")


@app.command()
def demo() -> None:
    """Show the whole story: people sign in, an identity provider signs one out, every application is told."""
    from service.demo import run_demo  # noqa: PLC0415 - it brings servers along that no other command needs

    with one_line_errors():
        raise typer.Exit(run_demo())


@app.command()
def check(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at the settings, Redis and the keys. Exits 1 when something must not be run so."""
    from service.check import run_check  # noqa: PLC0415 - as above

    raise typer.Exit(run_check(as_json=as_json, out=sys.stdout))


def _become(module: str) -> None:
    # The same process under the same id: whoever started us signals the one that does the work. The service cannot
    # import the workers, and need not.
    command = module_command(module)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, {**os.environ, **module_environment()})  # noqa: S606 - our own module, no shell


def main() -> None:
    """The console script."""
    app()
