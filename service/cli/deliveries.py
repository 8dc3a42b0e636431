"""`logoutd deliveries …`: what each application was told of a revocation."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from service.cli.completion import complete_client
from service.cli.receipts import deliveries_table, timeline
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
    revocation_id: Receipt,
    state: Annotated[str | None, typer.Option(help=f"In this state only: {', '.join(STATES)}.")] = None,
    client: Annotated[
        str | None, typer.Option(metavar="CLIENT_ID", help="To this application only.", autocompletion=complete_client)
    ] = None,
) -> None:
    """List the deliveries of a revocation."""
    if state is not None and state not in STATES:
        raise typer.BadParameter(f"--state is one of {', '.join(STATES)}")
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


def _of(shell: Shell, revocation_id: str) -> dict[str, Any]:
    receipt: dict[str, Any] = shell.api.get("revocations", revocation_id)
    return receipt
