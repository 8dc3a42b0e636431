"""`logoutd connections …`: the identity providers that may ask."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.cli.bodies import File, OptionFiles, Options, given_only, read_file, read_options
from service.cli.completion import complete_client, complete_connection
from service.cli.connection_clients import clients
from service.cli.pages import DEFAULT_LIMIT, Cursor, Everything, Limit, list_pages
from service.cli.shell import REFUSED, Shell, Yes, group, over_api, say
from service.cli.shown import show_facts, show_finding

connections = group("Connections: the identity providers that may ask us to sign people out.")
connections.add_typer(clients, name="clients")

Named = Annotated[str, typer.Argument(metavar="CONNECTION", help="Its name or id.", autocompletion=complete_connection)]
DisplayName = Annotated[str | None, typer.Option(help="What people call it.")]
Enabled = Annotated[
    list[str] | None,
    typer.Option(
        "--client",
        metavar="CLIENT_ID",
        help="An application to enable. May be repeated.",
        autocompletion=complete_client,
    ),
]


@connections.command("list")
@over_api
def list_connections(
    shell: Shell, *, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, everything: Everything = False
) -> None:
    """List connections by creation."""

    def row(each: Mapping[str, Any]) -> tuple[object, ...]:
        return each["name"], each["enabled"], each["options"]["issuer"], len(each["enabled_clients"]), each["id"]

    columns = ("NAME", "ENABLED", "ISSUER", "CLIENTS", "ID")
    list_pages(shell, "connections", columns=columns, row=row, limit=limit, cursor=cursor, everything=everything)


@connections.command("show")
@over_api
def show_connection(shell: Shell, *, connection: Named) -> None:
    """Show a connection, with the URLs to paste into the identity provider. Its secrets never come back."""
    shell.show(shell.api.get("connections", connection), show_facts)


@connections.command("create")
@over_api
def create_connection(
    shell: Shell,
    *,
    name: Annotated[
        str | None, typer.Argument(help="Stands in URLs, never changes. Not needed with --file.", show_default=False)
    ] = None,
    file: File = None,
    discovery_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The issuer, or its whole well-known URL.")
    ] = None,
    client_id: Annotated[str | None, typer.Option(help="Our client_id at the identity provider.")] = None,
    display_name: DisplayName = None,
    client: Enabled = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Its doors stay closed until it is enabled.")] = False,
    option: Options = None,
    option_file: OptionFiles = None,
) -> None:
    """Create a connection. Its discovery document and keys are fetched now.

    logoutd connections create okta --discovery-url https://example.okta.com --client-id 0oa1b2c3d4 --client notes
    """
    body = {"strategy": "oidc", **read_file(file), **given_only(name=name, display_name=display_name)}
    if client is not None:
        body["enabled_clients"] = client
    if disabled:
        body["enabled"] = False
    body["options"] = {
        "type": "back_channel",
        **_object(body.get("options")),
        **given_only(discovery_url=discovery_url, client_id=client_id),
        **read_options(option, option_file),
    }
    shell.show(shell.api.call("POST", "connections", body=body), show_facts)


@connections.command("update")
@over_api
def update_connection(
    shell: Shell,
    *,
    connection: Named,
    file: File = None,
    display_name: DisplayName = None,
    capture: Annotated[
        bool | None,
        typer.Option(
            "--capture/--no-capture",
            help="Capture mode: log the names in refused assertions, and what does not match, while it is set up.",
            show_default=False,
        ),
    ] = None,
    option: Options = None,
    option_file: OptionFiles = None,
) -> None:
    """Change a connection. Options not named stay as they are; `--option NAME=null` unsets one."""
    body = {**read_file(file), **given_only(display_name=display_name)}
    options = {
        **_object(body.get("options")),
        **given_only(capture_refused_assertions=capture),
        **read_options(option, option_file),
    }
    if options:
        body["options"] = options
    if not body:
        raise typer.BadParameter("nothing to change was named")
    shell.show(shell.api.call("PATCH", "connections", connection, body=body), show_facts)


@connections.command("delete")
@over_api
def delete_connection(shell: Shell, *, connection: Named, yes: Yes = False) -> None:
    """Remove a connection: its doors close at once, and no session ends by that. Asks first."""
    shell.confirm(
        f"Remove the connection {connection}? Its identity provider can sign nobody out any more; whoever is signed in "
        "through it stays so.",
        yes=yes,
    )
    shell.show(shell.api.call("DELETE", "connections", connection), show_facts)


@connections.command("enable")
@over_api
def enable_connection(shell: Shell, *, connection: Named) -> None:
    """Open a connection's doors."""
    shell.show(shell.api.call("PATCH", "connections", connection, body={"enabled": True}), show_facts)


@connections.command("disable")
@over_api
def disable_connection(shell: Shell, *, connection: Named, yes: Yes = False) -> None:
    """Close a connection's doors: its identity provider is answered 403, nobody signs in through it. Asks first."""
    shell.confirm(
        f"Disable the connection {connection}? Its identity provider is answered 403; whoever is signed in through it "
        "stays so.",
        yes=yes,
    )
    shell.show(shell.api.call("PATCH", "connections", connection, body={"enabled": False}), show_facts)


@connections.command("release")
@over_api
def release_connection(
    shell: Shell,
    *,
    connection: Named,
    apply: Annotated[
        bool,
        typer.Option("--apply/--discard", help="Put what is held into force, or forget it.", show_default=False),
    ],
    yes: Yes = False,
) -> None:
    """End the hold of a connection that asked to sign out too many people. Asks first."""
    fate = "put into force" if apply else "forgotten"
    shell.confirm(f"Release the connection {connection}? What is held is {fate}.", yes=yes)
    applied = 0
    while True:
        told = shell.api.call("POST", "connections", connection, "release", body={"apply": apply})
        applied += told["applied"]
        if not told["left"]:
            break
    shell.show({"applied": applied, "left": 0}, show_facts)


@connections.command("test")
@over_api
def test_connection(shell: Shell, *, connection: Named) -> None:
    """Have the service check a connection: discovery, issuer, keys, clock, URLs. Exits 1 when it is not fit."""
    found = shell.api.call("POST", "connections", connection, "test")

    def view(told: Mapping[str, Any]) -> None:
        for each in told["checks"]:
            show_finding(each["level"], each["check"], each["detail"])

    shell.show(found, view)
    if not found["ok"]:
        say("the connection is not fit")
        raise typer.Exit(REFUSED)


def _object(value: object) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise typer.BadParameter("`options` is not a JSON object")
    return value or {}
