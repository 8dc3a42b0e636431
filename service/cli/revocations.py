"""`logoutd revocations …`: sign somebody out everywhere, and read the receipts."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from service.cli.bodies import given_only
from service.cli.completion import complete_connection
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.receipts import show_dry_run, show_receipt, show_redelivery
from service.cli.shell import REFUSED, Shell, Yes, fail, group, over_api, say
from service.cli.shown import plain, show_facts
from service.cli.subjects import MEMBERS, read_subject

POLL_S: Final = 0.25
"""Pause between two looks at a receipt, in seconds: most are complete before the second."""

DEFAULT_WAIT_S: Final = 60.0
"""How long a receipt is waited for, in seconds: an application that is down is tried for far longer."""

CLOSED: Final = ("completed", "incomplete")
"""States of a receipt in which nothing more happens by itself."""

revocations = group("Revocations: sign somebody out everywhere, and see who was told.")

Named = Annotated[
    str,
    typer.Argument(
        metavar="CONNECTION", help="Name or id of the connection they are known by.", autocompletion=complete_connection
    ),
]


@revocations.command("list")
@over_api
def list_revocations(
    shell: Shell,
    *,
    connection: Annotated[
        str | None,
        typer.Option(help="Of this connection only (name or id).", autocompletion=complete_connection),
    ] = None,
    user_id: Annotated[str | None, typer.Option(help="Of this person only.")] = None,
    state: Annotated[
        str | None, typer.Option(help="In this state only: accepted, notifying, completed or incomplete.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    everything: Everything = False,
) -> None:
    """List receipts, the newest first."""

    def row(each: Mapping[str, Any]) -> tuple[object, ...]:
        return (
            each["revocation_id"],
            each["state"],
            each["accepted_at"],
            each["initiator"],
            each["sessions_ended"],
            each["refresh_tokens_revoked"],
        )

    list_pages(
        shell,
        "revocations",
        columns=("REVOCATION_ID", "STATE", "ACCEPTED", "INITIATOR", "SESSIONS", "REFRESH TOKENS"),
        row=row,
        limit=limit,
        cursor=cursor,
        everything=everything,
        query={"connection": connection, "user_id": user_id, "state": state},
    )


@revocations.command("show")
@over_api
def show_revocation(
    shell: Shell, *, revocation_id: Annotated[str, typer.Argument(metavar="REVOCATION_ID", help="The receipt, rev_…")]
) -> None:
    """Show a receipt: what was ended, who was told, when, and what came of each attempt."""
    shell.show(shell.api.get("revocations", revocation_id), show_receipt)


@revocations.command("create")
@over_api
def create_revocation(
    shell: Shell,
    *,
    connection: Named,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT",
            help="An e-mail address, phone number (+…), user id or registered external id, an RFC 9493 subject as JSON, "
            "or - to read any of these from standard input.",
        ),
    ],
    iss: Annotated[str | None, typer.Option(metavar="ISS", help="SUBJECT is the `sub` of this issuer.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help=f"What SUBJECT is, where it is not seen: {', '.join(MEMBERS)}."
        ),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Kept in the receipt: a ticket's number and a sentence.")] = None,
    lane: Annotated[
        str | None,
        typer.Option(metavar="LANE", help="urgent or bulk. Default: by how many were asked for within a minute."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be ended and who would be told.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show the receipt once everybody was told; exit 1 if somebody was not.")
    ] = False,
    within: Annotated[
        float, typer.Option(metavar="SECONDS", help="Longest wait.", min=0.0, max=86_400.0)
    ] = DEFAULT_WAIT_S,
    yes: Yes = False,
) -> None:
    """Sign a person out everywhere. Asks first.

    logoutd revocations create okta ada@example.com --reason 'laptop stolen' --wait
    """
    named = read_subject(subject, kind=kind, iss=iss)
    body = {"connection": connection, "subject": named, **given_only(reason=reason, lane=lane)}
    if dry_run:
        _require_dry_run(shell)
        shell.show(shell.api.call("POST", "revocations", body=body, query={"dry_run": "true"}), show_dry_run)
        return
    shell.confirm(f"Sign out everywhere whoever {connection} knows by {plain(named['format'])} {subject}?", yes=yes)
    answer = shell.api.call("POST", "revocations", body=body)
    if not wait:
        shell.show(answer, show_facts)
        return
    receipt = _wait(shell, str(answer["revocation_id"]), within)
    shell.show(receipt, show_receipt)
    if receipt["state"] == "incomplete":
        fail("in force, but not every application could be told", REFUSED)
    if receipt["state"] != "completed":
        fail(f"in force, but not everybody was told within {within:g} s; the service goes on trying", REFUSED)


@revocations.command("redeliver")
@over_api
def redeliver_revocation(
    shell: Shell, *, revocation_id: Annotated[str, typer.Argument(metavar="REVOCATION_ID", help="The receipt, rev_…")]
) -> None:
    """Try every dead delivery of a revocation anew."""
    shell.show(shell.api.call("POST", "revocations", revocation_id, "redeliver"), show_redelivery)


def _wait(shell: Shell, revocation_id: str, within_s: float) -> dict[str, Any]:
    """The receipt once it is closed, or as it is when the time is over."""
    deadline = time.monotonic() + within_s
    while True:
        receipt: dict[str, Any] = shell.api.get("revocations", revocation_id)
        if receipt["state"] in CLOSED or time.monotonic() >= deadline:
            return receipt
        time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))


def _require_dry_run(shell: Shell) -> None:
    """End the command unless the service says it knows `dry_run`: one that does not would do it in earnest."""
    document = shell.api.send("GET", f"{shell.api.target.url}/openapi.json")
    try:
        described = document.json()["paths"]["/api/v2/revocations"]["post"]["parameters"]
        known = any(each["name"] == "dry_run" for each in described)
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        say("this service has no dry run")
        raise typer.Exit(REFUSED)
