"""A person on a command line, as an RFC 9493 subject identifier."""

import re
import sys
from typing import Any, Final

import typer

from service.cli.bodies import read_json

MEMBERS: Final = {
    "email": "email",
    "opaque": "id",
    "phone_number": "phone_number",
    "account": "uri",
    "uri": "uri",
    "did": "url",
}
"""Formats that have one member, and its name (RFC 9493 section 3.2)."""

_PHONE: Final = re.compile(r"\+[0-9]{5,15}", re.ASCII)


def read_subject(text: str, *, kind: str | None, iss: str | None) -> dict[str, Any]:
    """The subject a word on the command line stands for: an object of JSON, `iss` and `sub`, or what it looks like.

    `-` is read from standard input, for an address that is not to stand in a shell's history.
    """
    if text == "-":
        text = sys.stdin.read().strip()
    if not text:
        raise typer.BadParameter("the subject is empty")
    if iss is not None:
        if kind not in {None, "iss_sub"}:
            raise typer.BadParameter("--iss goes with the format iss_sub alone")
        return {"format": "iss_sub", "iss": iss, "sub": text}
    if kind is None and text.startswith("{"):
        subject = read_json(text, "the subject")
        return dict(subject)
    kind = kind or _looks_like(text)
    if kind not in MEMBERS:
        raise typer.BadParameter(
            f"--format is one of {', '.join(MEMBERS)}; iss_sub needs --iss, others are given as JSON"
        )
    return {"format": kind, MEMBERS[kind]: text}


def _looks_like(text: str) -> str:
    if text.startswith("acct:"):
        return "account"
    if text.startswith("did:"):
        return "did"
    if "://" in text:
        return "uri"
    if "@" in text:
        return "email"
    return "phone_number" if _PHONE.fullmatch(text) else "opaque"
