"""How a receipt looks: its head, and who was told when."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.cli.shown import show_facts, show_heading, show_table

Row = tuple[str, str, str, str, str]


def show_receipt(receipt: Mapping[str, Any]) -> None:
    """The head of a receipt, then its timeline."""
    show_facts({name: value for name, value in receipt.items() if name != "deliveries" and value is not None})
    show_heading("Timeline")
    show_table(("AT", "WHO", "WHAT", "ANSWER", "MS"), timeline(receipt))


def show_dry_run(told: Mapping[str, Any]) -> None:
    """What a revocation would end, and each application with what it would be told, or why nothing."""
    show_facts({name: value for name, value in told.items() if name != "applications"})
    show_heading("Applications")
    rows = [(each["client_id"], each["state"], each.get("reason")) for each in told.get("applications", [])]
    show_table(("CLIENT_ID", "STATE", "REASON"), rows)


def timeline(receipt: Mapping[str, Any]) -> list[Row]:
    """What happened, by time; what has no time yet comes last."""
    rows = sorted(_rows(receipt), key=lambda row: row[0])
    return [*(row for row in rows if row[0]), *(row for row in rows if not row[0])]


def deliveries_table(deliveries: Sequence[Mapping[str, Any]]) -> None:
    """One line a delivery."""
    show_table(
        ("DELIVERY_ID", "CLIENT_ID", "STATE", "ATTEMPTS", "LAST ANSWER", "NEXT ATTEMPT", "REASON"),
        [
            (
                each["delivery_id"],
                each["client_id"],
                each["state"],
                len(each["attempts"]),
                answer_to(each["attempts"][-1]) if each["attempts"] else "",
                each.get("next_attempt_at"),
                each.get("reason"),
            )
            for each in deliveries
        ],
    )


def show_redelivery(told: Mapping[str, Any]) -> None:
    """What is tried anew, and what is not, with the reason."""
    rows = [(each["delivery_id"], each["client_id"], "redelivered", None) for each in told["deliveries"]]
    rows += [(each["delivery_id"], None, "not redelivered", each["reason"]) for each in told["not_redelivered"]]
    show_table(("DELIVERY_ID", "CLIENT_ID", "WHAT", "REASON"), rows)


def _rows(receipt: Mapping[str, Any]) -> Iterator[Row]:
    ended = f"in force: {receipt['sessions_ended']} sessions, {receipt['refresh_tokens_revoked']} refresh tokens ended"
    for moment, what in (("accepted_at", f"accepted: {receipt['initiator']}"), ("revoked_at", ended)):
        if receipt[moment] is not None:
            yield receipt[moment], "logoutd", what, "", ""
    for delivery in receipt.get("deliveries", []):
        yield from _delivery(delivery)
    if receipt["completed_at"] is not None:
        yield receipt["completed_at"], "logoutd", receipt["state"], "", ""


def _delivery(delivery: Mapping[str, Any]) -> Iterator[Row]:
    who, attempts = delivery["client_id"], delivery["attempts"]
    # What came of the last attempt is not the state of what has been redelivered since.
    tried_since = not attempts or attempts[-1]["at"] >= max(delivery.get("redelivered_at", []), default="")
    for moment in delivery.get("redelivered_at", []):
        yield moment, who, "redelivered", "", ""
    for number, attempt in enumerate(attempts, 1):
        last = number == len(attempts) and tried_since
        what = f"attempt {number}" + (f": {delivery['state']}" if last else "")
        yield attempt["at"], who, what, answer_to(attempt), str(attempt["duration_ms"])
    if not attempts:
        reason = f": {delivery['reason']}" if delivery.get("reason") else ""
        yield "", who, f"{delivery['state']}{reason}", "", ""
    elif delivery.get("next_attempt_at"):
        yield delivery["next_attempt_at"], who, "next attempt", "", ""


def answer_to(attempt: Mapping[str, Any]) -> str:
    """What an application answered to a logout token, or why it did not."""
    return str(attempt["status"] if "status" in attempt else attempt.get("error", ""))
