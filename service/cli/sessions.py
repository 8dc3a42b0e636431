"""`logoutd sessions …`: who is signed in, and the end of it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import Shell, Yes, group, over_api
from service.cli.shown import show_facts

sessions = group("Sessions: who is signed in, and the end of it.")

SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID", help="The session, ses_…")]
UserId = Annotated[str, typer.Argument(metavar="USER_ID", help="The person, usr_…")]


@sessions.command("list")
@over_api
def list_sessions(
    shell: Shell,
    *,
    user_id: UserId,
    active: Annotated[
        bool | None,
        typer.Option("--active/--ended", help="Those that are honoured, or those that are not.", show_default=False),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    everything: Everything = False,
) -> None:
    """List a person's sessions that are not forgotten yet."""

    def row(each: Mapping[str, Any]) -> tuple[object, ...]:
        joined = [client["client_id"] for client in each["clients"]]
        return each["session_id"], each["state"], each["created_at"], each["ended_at"] or each["expires_at"], joined

    columns = ("SESSION_ID", "STATE", "CREATED", "ENDS", "CLIENTS")
    list_pages(
        shell,
        "users",
        user_id,
        "sessions",
        columns=columns,
        row=row,
        limit=limit,
        cursor=cursor,
        everything=everything,
        query={"active": None if active is None else str(active).lower()},
    )


@sessions.command("show")
@over_api
def show_session(shell: Shell, *, session_id: SessionId) -> None:
    """Show a session as it stands."""
    shell.show(shell.api.get("sessions", session_id), show_facts)


@sessions.command("person")
@over_api
def show_person(shell: Shell, *, user_id: UserId) -> None:
    """Show whose sessions they are: every identifier the person is known by."""
    shell.show(shell.api.get("users", user_id), show_facts)


@sessions.command("delete")
@over_api
def delete_session(shell: Shell, *, session_id: SessionId, yes: Yes = False) -> None:
    """End a session: a revocation of its own. Asks first."""
    shell.confirm(f"End the session {session_id}?", yes=yes)
    shell.show(shell.api.call("DELETE", "sessions", session_id), show_facts)


@sessions.command("erase")
@over_api
def erase_person(shell: Shell, *, user_id: UserId, yes: Yes = False) -> None:
    """Sign a person out everywhere and forget who they are. Asks first."""
    shell.confirm(f"Sign {user_id} out everywhere and forget who they are, for good?", yes=yes)
    shell.show(shell.api.call("DELETE", "users", user_id), show_facts)


@sessions.command("delete-all")
@over_api
def delete_sessions(shell: Shell, *, user_id: UserId, yes: Yes = False) -> None:
    """End every session of a person: a revocation like any other. Asks first."""
    shell.confirm(f"End every session of {user_id}?", yes=yes)
    shell.show(shell.api.call("DELETE", "users", user_id, "sessions"), show_facts)
