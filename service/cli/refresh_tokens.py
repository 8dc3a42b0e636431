"""`logoutd refresh-tokens …`: the end of one, by its public name."""

from typing import Annotated

import typer

from service.cli.shell import Shell, Yes, group, over_api
from service.cli.shown import show_facts

refresh_tokens = group("Refresh tokens, by their public names (rt_…). The tokens themselves are nobody's to type.")


@refresh_tokens.command("delete")
@over_api
def delete_refresh_token(
    shell: Shell,
    *,
    refresh_token_id: Annotated[str, typer.Argument(metavar="REFRESH_TOKEN_ID", help="The token, rt_…")],
    yes: Yes = False,
) -> None:
    """End a refresh token with all it was rotated from and into: a revocation of its own. Asks first."""
    shell.confirm(f"End the refresh token {refresh_token_id} and its whole family?", yes=yes)
    shell.show(shell.api.call("DELETE", "refresh-tokens", refresh_token_id), show_facts)
