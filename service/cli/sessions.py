"""`logoutd sessions …`: who is signed in, and the end of it."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.bodies import File, given_only, read_file
from service.cli.completion import complete_client, complete_connection
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import Shell, Yes, group, over_api
from service.cli.shown import show_facts

sessions = group("Sessions: who is signed in, and the end of it.")

SessionId = Annotated[str, typer.Argument(metavar="SESSION_ID", help="The session, ses_…")]
ClientId = Annotated[str, typer.Argument(metavar="CLIENT_ID", help="The application.", autocompletion=complete_client)]
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


@sessions.command("create")
@over_api
def create_session(
    shell: Shell,
    *,
    connection: Annotated[
        str | None,
        typer.Argument(metavar="CONNECTION", help="Name or id of the connection.", autocompletion=complete_connection),
    ] = None,
    sub: Annotated[
        str | None, typer.Argument(metavar="SUB", help="The person, as the identity provider knows them.")
    ] = None,
    file: File = None,
    iss: Annotated[
        str | None, typer.Option(metavar="ISS", help="The identity provider. Default: the connection's issuer.")
    ] = None,
    client: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLIENT_ID", help="An application in it. May be repeated.", autocompletion=complete_client
        ),
    ] = None,
    upstream_sid: Annotated[
        str | None, typer.Option(metavar="SID", help="`sid` of the identity provider's ID token.")
    ] = None,
) -> None:
    """Record a sign-in, as an authorization server does: to try something out. Other members by --file.

    logoutd sessions create acme-okta 00u1ada --client notes
    """
    body = read_file(file)
    body |= given_only(connection=connection, upstream_sid=upstream_sid)
    if client:
        body["clients"] = [{"client_id": each} for each in client]
    if sub is not None:
        if iss is None:
            iss = str(shell.api.get("connections", str(body.get("connection", "")))["options"]["issuer"])
        body["subject"] = {"iss": iss, "sub": sub}
    elif iss is not None:
        raise typer.BadParameter("--iss goes with a SUB")
    if "connection" not in body or "subject" not in body:
        raise typer.BadParameter("name a CONNECTION and a SUB, or both in --file")
    shell.show(shell.api.call("POST", "sessions", body=body), show_facts)


@sessions.command("join")
@over_api
def join_session(
    shell: Shell,
    *,
    session_id: SessionId,
    client_id: ClientId,
    sub: Annotated[str | None, typer.Option(help="The person, as its ID token names them.")] = None,
    sid: Annotated[str | None, typer.Option(help="The session, likewise.")] = None,
) -> None:
    """Let another application join a session."""
    body = given_only(client_id=client_id, sub=sub, sid=sid)
    shell.show(shell.api.call("POST", "sessions", session_id, "clients", body=body), show_facts)


@sessions.command("leave")
@over_api
def leave_session(shell: Shell, *, session_id: SessionId, client_id: ClientId, yes: Yes = False) -> None:
    """Let an application leave a session: its refresh tokens there end, and it is not told of the session's end. Asks first."""
    shell.confirm(f"End the part of {client_id} in the session {session_id}, and its refresh tokens there?", yes=yes)
    shell.show(shell.api.call("DELETE", "sessions", session_id, "clients", client_id), show_facts)


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
