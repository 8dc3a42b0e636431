"""The command line run inside a test: told by its environment where the service is, and never caught printing a secret."""

import io
import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from service.cli import app
from tests.support.http_service import ADMIN_TOKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which has to be one JSON value."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of the table it printed for a program to read: columns are two spaces apart."""
        return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in self.out.splitlines()]

    @property
    def facts(self) -> dict[str, str]:
        """The names and values it printed."""
        return {name: "  ".join(values) for name, *values in filter(None, self.rows)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Runs `logoutd …` in this process, told by the environment where the service is."""

    environment: dict[str, str]

    def run(self, *arguments: str, given: str | None = None, **environment: str) -> Ran:
        """One command, whatever comes of it. `given` stands on standard input. No secret of the test's is ever printed."""
        done = CliRunner().invoke(app, arguments, input=given, env={**self.environment, **environment})
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert ADMIN_TOKEN not in done.output
        assert "Traceback" not in done.output
        return Ran(status=done.exit_code, out=done.stdout, err=done.stderr)

    def does(self, *arguments: str, given: str | None = None) -> Ran:
        """A command that has to succeed, and say nothing on stderr."""
        ran = self.run(*arguments, given=given)
        assert (ran.status, ran.err) == (0, ""), ran
        return ran

    def fails(self, status: int, *arguments: str, given: str | None = None, **environment: str) -> str:
        """A command that has to fail with this status and print nothing: what it says on stderr."""
        ran = self.run(*arguments, given=given, **environment)
        assert (ran.status, ran.out) == (status, ""), ran
        if status != 2:
            assert ran.err.startswith("logoutd: ")
            assert ran.err.count("\n") == 1
        return ran.err


class Terminal(io.StringIO):
    """Standard output as a terminal is."""

    def isatty(self) -> bool:
        """Yes."""
        return True
