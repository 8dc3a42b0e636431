"""How a command ends that cannot do what it was asked to."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from service.dev.errors import DevError
from service.embedded_redis import EmbeddedRedisError
from service.errors import LogoutdError
from service.settings import SettingsError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What an operator can put right is one line on stderr and exit status 1; anything else is a fault of ours."""
    try:
        yield
    except (SettingsError, DevError, EmbeddedRedisError, LogoutdError) as error:
        print(f"logoutd: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
