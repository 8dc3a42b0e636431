"""`logoutd audit …`: what happened, who did it, from where; and whether that is as it was written."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.completion import complete_connection
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import REFUSED, Shell, group, over_api, say
from service.cli.shown import show_facts
from service.domain.audit import EVENTS

audit = group("Audit: what happened, who did it, from where.")

Since = Annotated[str | None, typer.Option(metavar="MOMENT", help="From this moment on, such as 2026-01-31T12:00:00Z.")]
Until = Annotated[str | None, typer.Option(metavar="MOMENT", help="Before this moment.")]
OfEvent = Annotated[
    str | None, typer.Option(metavar="EVENT", help="Of this event only.", autocompletion=lambda: list(EVENTS))
]
OfConnection = Annotated[
    str | None, typer.Option(help="Of this connection only (name or id).", autocompletion=complete_connection)
]
OfPerson = Annotated[str | None, typer.Option(help="Of this person only.")]

Expect = Annotated[
    str | None,
    typer.Option(metavar="NUMBER:SEAL", help="This seal, of an earlier run or the workers' log, must be there."),
]

_NOT_ABOUT = frozenset({"id", "at", "version", "event", "actor", "origin", "request_id", "people"})
"""Members of an entry that have a column of their own, or are left to --json."""


@audit.command("list")
@over_api
def list_audit(
    shell: Shell,
    *,
    since: Since = None,
    until: Until = None,
    event: OfEvent = None,
    connection: OfConnection = None,
    user_id: OfPerson = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    everything: Everything = False,
) -> None:
    """List entries, the newest first."""

    def row(each: Mapping[str, Any]) -> tuple[object, ...]:
        actor = each["actor"]
        about = " ".join(f"{name}={value}" for name, value in each.items() if name not in _NOT_ABOUT)
        return each["at"], each["event"], f"{actor['type']} {actor.get('id', '')}".strip(), about

    list_pages(
        shell,
        "audit",
        columns=("AT", "EVENT", "WHO", "WHAT"),
        row=row,
        limit=limit,
        cursor=cursor,
        everything=everything,
        query=_filters(since, until, event, connection, user_id),
    )


@audit.command("export")
@over_api
def export_audit(
    shell: Shell,
    *,
    since: Since = None,
    until: Until = None,
    event: OfEvent = None,
    connection: OfConnection = None,
    user_id: OfPerson = None,
) -> None:
    """Print every entry, the oldest first, a JSON object a line. However many, it takes no memory for them.

    logoutd audit export --since 2026-01-01T00:00:00Z > trail.jsonl
    """
    asked = {
        name: value for name, value in _filters(since, until, event, connection, user_id).items() if value is not None
    }
    for line in shell.api.lines("audit", "export", query=asked):
        print(line)


@audit.command("verify")
@over_api
def verify_audit(shell: Shell, expect: Expect = None) -> None:
    """Check the seals: nothing was changed, taken out, put in or moved. Exits 1 when something was.

    Keep the number and the seal it prints elsewhere, and give them the next time: a trail that was cut off, or written anew
    as a whole, is found by that alone.

    logoutd audit verify --expect 1234:0a1b…
    """
    asked = {} if expect is None else {"expect": expect}
    told: dict[str, Any] = shell.api.get("audit", "verification", query=asked)
    found = told
    while told["next_cursor"] is not None:
        told = shell.api.get("audit", "verification", query={**asked, "cursor": told["next_cursor"]})
        sums = {name: found[name] + told[name] for name in ("entries", "seals", "unverified")}
        newest = told if told["number"] is not None else found
        found = {**told, **sums, "number": newest["number"], "seal": newest["seal"]}
    shell.show({name: value for name, value in found.items() if name != "next_cursor"}, show_facts)
    if found["unverified"]:
        say(
            f"{found['unverified']} entries are sealed by a key that is not in use any more: nothing can be told of them"
        )
    if found["problem"] is not None:
        say(f"the trail is not as it was written: {found['problem']}")
        raise typer.Exit(REFUSED)


def _filters(
    since: str | None, until: str | None, event: str | None, connection: str | None, user_id: str | None
) -> dict[str, str | None]:
    return {"since": since, "until": until, "event": event, "connection": connection, "user_id": user_id}
