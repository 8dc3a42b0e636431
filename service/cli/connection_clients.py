"""`logoutd connections clients …`: which applications a connection signs people in to."""

from typing import Annotated

import typer

from service.cli.completion import complete_client, complete_connection
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import Shell, group, over_api
from service.cli.shown import show_table

clients = group("Which applications are enabled for a connection.")

Named = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its name or id.", autocompletion=complete_connection)]
Ids = Annotated[list[str], typer.Argument(metavar="CLIENT_ID…", help="Applications.", autocompletion=complete_client)]


@clients.command("list")
@over_api
def list_enabled(
    shell: Shell,
    *,
    connection: Named,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    everything: Everything = False,
) -> None:
    """List the applications that are enabled."""
    list_pages(
        shell,
        "connections",
        connection,
        "clients",
        columns=("CLIENT_ID", "ENABLED"),
        row=lambda each: (each["client_id"], each["status"]),
        limit=limit,
        cursor=cursor,
        everything=everything,
    )


@clients.command("enable")
@over_api
def enable(shell: Shell, *, connection: Named, client_ids: Ids) -> None:
    """Enable applications; the others stay as they are."""
    _switch(shell, connection, client_ids, on=True)


@clients.command("disable")
@over_api
def disable(shell: Shell, *, connection: Named, client_ids: Ids) -> None:
    """Disable applications: nobody signs in to them through this connection any more. Who is signed in is still told."""
    _switch(shell, connection, client_ids, on=False)


def _switch(shell: Shell, connection: str, client_ids: list[str], *, on: bool) -> None:
    body = [{"client_id": each, "status": on} for each in client_ids]
    answer = shell.api.call("PATCH", "connections", connection, "clients", body=body)
    shell.show(
        answer,
        lambda told: show_table(
            ("CLIENT_ID", "ENABLED"), [(each["client_id"], each["status"]) for each in told["items"]]
        ),
    )
