"""`logoutd clients …`, or `logoutd applications …`: who is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.bodies import File, given_only, read_file, read_text
from service.cli.completion import complete_client
from service.cli.durations import parse_since
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import REFUSED, Shell, Yes, fail, group, over_api
from service.cli.shown import show_facts, show_heading, show_table

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

CaFile = Annotated[
    str | None,
    typer.Option("--tls-ca-file", metavar="FILE", help="Certificates its server's must lead to (tls_ca_certificates)."),
]
CertificateFile = Annotated[
    str | None,
    typer.Option("--tls-cert-file", metavar="FILE", help="The certificate we show it (tls_client_certificate)."),
]
KeyFile = Annotated[
    str | None, typer.Option("--tls-key-file", metavar="FILE", help="That certificate's private key (tls_client_key).")
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
    tls_ca_file: CaFile = None,
    tls_cert_file: CertificateFile = None,
    tls_key_file: KeyFile = None,
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
        **_tls(tls_ca_file, tls_cert_file, tls_key_file),
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
    tls_ca_file: CaFile = None,
    tls_cert_file: CertificateFile = None,
    tls_key_file: KeyFile = None,
    max_concurrent: Concurrent = None,
    rate: Rate = None,
) -> None:
    """Change an application. An empty --name, --logout-uri, --tls-ca-file or --tls-cert-file unsets it."""
    body = {
        **read_file(file),
        **_members(name, logout_uri, session_required, alg),
        **_tls(tls_ca_file, tls_cert_file, tls_key_file),
        **_limits(max_concurrent, rate),
    }
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
    """Remove an application. Its refresh tokens end, and what it is still owed is not sent any more. Asks first."""
    shell.confirm(
        f"Remove the application {client_id}? Its refresh tokens end, and it is told of no sign-out any more.", yes=yes
    )
    shell.show(shell.api.call("DELETE", "clients", client_id), show_facts)


@clients.command("redeliver")
@over_api
def redeliver_client(
    shell: Shell,
    *,
    client_id: Named,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Given up then or later: an RFC 3339 time, or how long ago (36h, 7d).")
    ],
) -> None:
    """Try anew what an application was not told, once it is mended. Exits 1 when there was something and none of it can be.

    logoutd clients redeliver notes --since 36h
    """
    body = {"since": parse_since(since)}
    told = shell.api.call("POST", "clients", client_id, "redeliver", body=body)
    while told["next_cursor"] is not None:
        more = shell.api.call("POST", "clients", client_id, "redeliver", body={**body, "cursor": told["next_cursor"]})
        told = {
            **more,
            "redelivered": told["redelivered"] + more["redelivered"],
            "not_redelivered": [*told["not_redelivered"], *more["not_redelivered"]],
        }

    def view(answer: Mapping[str, Any]) -> None:
        show_facts({"client_id": client_id, "redelivered": answer["redelivered"]})
        if answer["not_redelivered"]:
            show_heading("Not redelivered")
            rows = [(each["delivery_id"], each["reason"]) for each in answer["not_redelivered"]]
            show_table(("DELIVERY_ID", "REASON"), rows)

    shell.show(told, view)
    if told["not_redelivered"] and not told["redelivered"]:
        fail("nothing could be redelivered", REFUSED)


def _members(
    name: str | None, logout_uri: str | None, session_required: bool | None, alg: str | None
) -> dict[str, Any]:
    texts = given_only(client_name=name, backchannel_logout_uri=logout_uri)
    return {
        **{member: text or None for member, text in texts.items()},
        **given_only(backchannel_logout_session_required=session_required, id_token_signed_response_alg=alg),
    }


def _tls(ca_file: str | None, cert_file: str | None, key_file: str | None) -> dict[str, str | None]:
    files = given_only(tls_ca_certificates=ca_file, tls_client_certificate=cert_file, tls_client_key=key_file)
    return {member: read_text(Path(name), "a --tls-…-file") if name else None for member, name in files.items()}


def _limits(max_concurrent: int | None, rate: float | None) -> dict[str, Any]:
    given = given_only(delivery_max_concurrent=max_concurrent, delivery_rate_per_second=rate)
    return {member: value or None for member, value in given.items()}
