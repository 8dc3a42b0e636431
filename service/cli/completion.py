"""Completion of names that only the service knows. It is asked for a moment, and silent when it does not answer."""

import re
from typing import Any, Final

import typer

from service.cli.api import Api, ApiRefused, Unreachable, find_target
from service.settings import SettingsError

COMPLETION_TIMEOUT_S: Final = 1.0
"""Longest wait of somebody who pressed Tab, in seconds."""

_WORD: Final = re.compile(r"[A-Za-z0-9._~:@=+-]+", re.ASCII)
"""What a shell may be handed as a word: names of connections, client_ids. Never what it would expand or run."""


def complete_connection(context: typer.Context, incomplete: str) -> list[str]:
    """Names of connections."""
    return _names(context, "connections", "name", incomplete)


def complete_client(context: typer.Context, incomplete: str) -> list[str]:
    """client_ids of applications."""
    return _names(context, "clients", "client_id", incomplete)


def _names(context: typer.Context, noun: str, member: str, incomplete: str) -> list[str]:
    given: dict[str, Any] = context.params
    try:
        target = find_target(url=given.get("url"), token_file=given.get("token_file"))
        with Api(target, timeout_s=COMPLETION_TIMEOUT_S) as api:
            items = api.get(noun, query={"limit": "100"})["items"]
        names = [str(each.get(member, "")) for each in items if isinstance(each, dict)]
    except (SettingsError, ApiRefused, Unreachable, KeyError, TypeError):
        # Nobody asked for a message in the middle of their line.
        return []
    return [name for name in names if name.startswith(incomplete) and _WORD.fullmatch(name)]
