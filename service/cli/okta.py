"""`logoutd okta …`: help with setting Okta up."""

from dataclasses import asdict
from typing import Annotated

import typer

from service.cli.completion import complete_connection
from service.cli.okta_doctor import Examination, examine, expected_claims
from service.cli.shell import REFUSED, Shell, fail, group, over_api
from service.cli.shown import show_json

okta = group("Help with setting Okta up.")


@okta.callback()
def _group() -> None:
    # Without it a group of one command is that command.
    pass


@okta.command("doctor")
@over_api
def doctor(
    shell: Shell,
    *,
    connection: Annotated[
        str, typer.Argument(metavar="CONNECTION", help="Its name or id.", autocompletion=complete_connection)
    ],
    self_test: Annotated[
        bool, typer.Option("--self-test/--no-self-test", help="Sign somebody made up out, through the real door.")
    ] = True,
) -> None:
    """Walk through setting Okta up: what to paste where, and whether its requests will be understood.

    The self-test makes a connection of its own with a key of its own, signs somebody made up in and out, and removes what it
    made; a receipt stays. Exits 1 when something failed.
    """
    case = Examination(api=shell.api, connection=shell.api.get("connections", connection), quiet=shell.as_json)
    fit = examine(case, self_test=self_test)
    if shell.as_json:
        show_json({"ok": fit, "expected": expected_claims(case), "findings": [asdict(each) for each in case.findings]})
    if not fit:
        fail("something has to be put right; see the lines that begin with fail", REFUSED)
