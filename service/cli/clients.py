"""`logoutd clients …`, or `logoutd applications …`: who is told."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.bodies import File, given_only, read_file
from service.cli.completion import complete_client
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import Shell, Yes, group, over_api
from service.cli.shown import show_facts

clients = group("Applications, which are told when somebody is signed out. The API calls them clients.")

Named = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The application.", autocompletion=complete_client)]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
LogoutUri = Annotated[
    str | None,
    typer.Option("--logout-uri", metavar="URL", help="Where it takes logout tokens (backchannel_logout_uri)."),
]
SessionRequired = Annotated[
    bool | None,
    typer.Option(
        "--session-required/--no-session-required",
        help="It needs a `sid` in every logout token (backchannel_logout_session_required).",
        show_default=False,
    ),
]
Concurrent = Annotated[
    int | None,
    typer.Option(
        "--max-concurrent",
        metavar="N",
        min=0,
        help="Most logout tokens at once (delivery_max_concurrent). 0: no limit.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="N", min=0.0, help="Most a second (delivery_rate_per_second). 0: no limit."),
]
Algorithm = Annotated[
    str | None,
    typer.Option("--alg", metavar="ALG", help="RS256, PS256, ES256 or EdDSA (id_token_signed_response_alg)."),
]


@clients.command("list")
@over_api
def list_clients(
    shell: Shell, *, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, everything: Everything = False
) -> None:
    """List applications by creation."""

    def row(each: Mapping[str, Any]) -> tuple[object, ...]:
        return (
            each["client_id"],
            each["client_name"],
            each["backchannel_logout_uri"],
            each["id_token_signed_response_alg"],
            each["backchannel_logout_session_required"],
        )

    columns = ("CLIENT_ID", "NAME", "LOGOUT URI", "ALG", "SID REQUIRED")
    list_pages(shell, "clients", columns=columns, row=row, limit=limit, cursor=cursor, everything=everything)


@clients.command("show")
@over_api
def show_client(shell: Shell, *, client_id: Named) -> None:
    """Show an application."""
    shell.show(shell.api.get("clients", client_id), show_facts)


@clients.command("create")
@over_api
def create_client(
    shell: Shell,
    *,
    client_id: Annotated[
        str | None, typer.Argument(help="Its client_id. Default: one is made.", show_default=False)
    ] = None,
    file: File = None,
    name: Name = None,
    logout_uri: LogoutUri = None,
    session_required: SessionRequired = None,
    alg: Algorithm = None,
    max_concurrent: Concurrent = None,
    rate: Rate = None,
) -> None:
    """Register an application. The answer shows its client_secret, this once.

    logoutd clients create notes --logout-uri https://notes.example.com/backchannel-logout
    """
    body = {
        **read_file(file),
        **given_only(client_id=client_id),
        **_members(name, logout_uri, session_required, alg),
        **_limits(max_concurrent, rate),
    }
    shell.show(shell.api.call("POST", "clients", body=body), show_facts)


@clients.command("update")
@over_api
def update_client(
    shell: Shell,
    *,
    client_id: Named,
    file: File = None,
    name: Name = None,
    logout_uri: LogoutUri = None,
    session_required: SessionRequired = None,
    alg: Algorithm = None,
    max_concurrent: Concurrent = None,
    rate: Rate = None,
) -> None:
    """Change an application. An empty --name or --logout-uri unsets it."""
    body = {**read_file(file), **_members(name, logout_uri, session_required, alg), **_limits(max_concurrent, rate)}
    if not body:
        raise typer.BadParameter("nothing to change was named")
    shell.show(shell.api.call("PATCH", "clients", client_id, body=body), show_facts)


@clients.command("new-secret")
@over_api
def new_secret(shell: Shell, *, client_id: Named, yes: Yes = False) -> None:
    """Give an application a new client_secret, shown this once; the old one opens nothing any more. Asks first."""
    shell.confirm(f"Replace the secret of {client_id}? The one it has stops working at once.", yes=yes)
    shell.show(shell.api.call("POST", "clients", client_id, "secret"), show_facts)


@clients.command("pause")
@over_api
def pause_client(
    shell: Shell,
    *,
    client_id: Named,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for whoever looks at it later.")] = None,
) -> None:
    """Send an application nothing until it is resumed. What it is owed waits, and nothing is lost.

    logoutd clients pause notes --reason "CHG-1234, the database moves"
    """
    shell.show(shell.api.call("POST", "clients", client_id, "pause", body=given_only(reason=reason)), show_facts)


@clients.command("resume")
@over_api
def resume_client(shell: Shell, *, client_id: Named) -> None:
    """Send an application again what it is owed, the oldest first. Lifts a suspension too, and tries one that is down at once."""
    shell.show(shell.api.call("POST", "clients", client_id, "resume"), show_facts)


@clients.command("delete")
@over_api
def delete_client(shell: Shell, *, client_id: Named, yes: Yes = False) -> None:
    """Remove an application. What it is still owed is not sent any more. Asks first."""
    shell.confirm(f"Remove the application {client_id}? It is told of no sign-out any more.", yes=yes)
    shell.show(shell.api.call("DELETE", "clients", client_id), show_facts)


def _members(
    name: str | None, logout_uri: str | None, session_required: bool | None, alg: str | None
) -> dict[str, Any]:
    texts = given_only(client_name=name, backchannel_logout_uri=logout_uri)
    return {
        **{member: text or None for member, text in texts.items()},
        **given_only(backchannel_logout_session_required=session_required, id_token_signed_response_alg=alg),
    }


def _limits(max_concurrent: int | None, rate: float | None) -> dict[str, Any]:
    given = given_only(delivery_max_concurrent=max_concurrent, delivery_rate_per_second=rate)
    return {member: value or None for member, value in given.items()}
