"""`logoutd deliveries …`: what each application was told of a revocation."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from service.cli.completion import complete_client, complete_connection
from service.cli.durations import parse_since, spelt
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.receipts import answer_to, deliveries_table, show_redelivery, timeline
from service.cli.shell import REFUSED, Shell, fail, group, over_api
from service.cli.shown import show_facts, show_heading, show_table

STATES: Final = ("pending", "retrying", "delivered", "dead", "skipped")

deliveries = group("Deliveries: what each application was told of a revocation.")

Receipt = Annotated[str, typer.Argument(metavar="REVOCATION_ID", help="The receipt they belong to, rev_…")]


@deliveries.command("list")
@over_api
def list_deliveries(
    shell: Shell,
    *,
    revocation_id: Annotated[
        str | None,
        typer.Argument(metavar="[REVOCATION_ID]", help="Those of this receipt, rev_…", show_default=False),
    ] = None,
    state: Annotated[str | None, typer.Option(help=f"In this state only: {', '.join(STATES)}.")] = None,
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT_ID", help="To this application only.", autocompletion=complete_client)
    ] = None,
    connection: Annotated[
        str | None,
        typer.Option(help="Without a receipt: through this connection only.", autocompletion=complete_connection),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN", help="Without a receipt: died then or later, an RFC 3339 time or how long ago (36h)."
        ),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    everything: Everything = False,
) -> None:
    """List the deliveries of a revocation; without one, with --state dead, those of all that were given up.

    logoutd deliveries list --state dead --client notes --since 7d
    """
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"--state is one of {', '.join(STATES)}")
    if revocation_id is None:
        if state != "dead":
            raise typer.BadParameter("name a receipt, or say --state dead: other deliveries are in receipts alone")
        query = {"state": "dead", "client_id": client, "connection": connection}
        query["since"] = None if since is None else parse_since(since)
        list_pages(
            shell,
            "deliveries",
            columns=("DELIVERY_ID", "CLIENT_ID", "DEAD SINCE", "ATTEMPTS", "LAST ANSWER", "REASON"),
            row=_dead_letter,
            limit=limit,
            cursor=cursor,
            everything=everything,
            query=query,
        )
        return
    if connection is not None or since is not None or cursor is not None or everything:
        raise typer.BadParameter("--connection, --since, --cursor and --all are for dead letters, without a receipt")
    found = [
        each
        for each in _of(shell, revocation_id)["deliveries"]
        if state in {None, each["state"]} and client in {None, each["client_id"]}
    ]
    shell.show(found, deliveries_table)


@deliveries.command("show")
@over_api
def show_delivery(
    shell: Shell,
    *,
    revocation_id: Receipt,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="The delivery, dlv_…")],
) -> None:
    """Show one delivery, with each attempt."""
    receipt = _of(shell, revocation_id)
    found = [each for each in receipt["deliveries"] if each["delivery_id"] == delivery_id]
    if not found:
        fail("there is no such delivery in this receipt", REFUSED)

    def view(delivery: Mapping[str, Any]) -> None:
        show_facts({name: value for name, value in delivery.items() if name != "attempts"})
        show_heading("Timeline")
        show_table(("AT", "WHO", "WHAT", "ANSWER", "MS"), timeline({**receipt, "deliveries": [delivery]}))

    shell.show(found[0], view)


@deliveries.command("redeliver")
@over_api
def redeliver_delivery(
    shell: Shell,
    *,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="The delivery, dlv_…")],
    force: Annotated[
        bool, typer.Option("--force", help="Also when it was delivered, or skipped and can be told now.")
    ] = False,
) -> None:
    """Try a dead delivery anew: with a fresh count of attempts, at the address its application has now."""
    told = shell.api.call("POST", "deliveries", delivery_id, "redeliver", body={"force": force})
    shell.show(told, show_redelivery)


@deliveries.command("schedule")
@over_api
def show_schedule(shell: Shell) -> None:
    """Show when a delivery is tried again, and when it is given up."""

    def view(schedule: Mapping[str, Any]) -> None:
        elapsed_s, rows = 0.0, [(1, "", "0s")]
        for number, step_s in enumerate(schedule["steps_seconds"], 2):
            elapsed_s += step_s
            rows.append((number, spelt(step_s), spelt(elapsed_s)))
        if schedule["attempts"] > len(rows):
            rows.append((schedule["attempts"], f"each {spelt(schedule['then_every_seconds'])}", ""))
        show_table(("ATTEMPT", "AFTER", "SINCE THE FIRST"), rows)
        show_facts(
            {
                "given up after": spelt(schedule["window_seconds"]),
                "least share of a pause that is waited": schedule["least_share"],
                "longest Retry-After": spelt(schedule["longest_retry_after_seconds"]),
            }
        )

    shell.show(shell.api.get("delivery-schedule"), view)


def _dead_letter(each: Mapping[str, Any]) -> tuple[object, ...]:
    last = answer_to(each["last_attempt"]) if "last_attempt" in each else ""
    return each["delivery_id"], each["client_id"], each["dead_at"], each["attempt_count"], last, each["reason"]


def _of(shell: Shell, revocation_id: str) -> dict[str, Any]:
    receipt: dict[str, Any] = shell.api.get("revocations", revocation_id)
    return receipt
