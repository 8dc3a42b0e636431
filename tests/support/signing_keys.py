"""The operator's file of signing keys, for tests: the same quick keys all through a process, and a few hands to turn."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.tokens import overridden, private_key

PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""The members of a JWK that hold private or symmetric keys (RFC 7518 section 6)."""


def jwk(alg: str, number: int = 1, /, **members: object) -> dict[str, Any]:
    """A private key as it stands in the file, called `es256-1` and the like; REMOVED takes a member out."""
    return overridden(private_key(alg, number).as_dict(private=True), members)


def jwks(*keys: Mapping[str, Any]) -> dict[str, Any]:
    """A private JWKS of these."""
    return {"keys": [dict(each) for each in keys]}


def write_keys(path: Path, document: object) -> Path:
    """Write it as an editor would: in place, readable by its owner alone."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def read_keys(path: Path) -> dict[str, Any]:
    """What the file says."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
