"""Values to JSON and back, by their types."""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def to_json(value: Any) -> str:
    """A dataclass as JSON; members at their default are kept, so that a later default cannot change an old record."""
    return _adapter(type(value)).dump_json(value).decode()


def from_json(kind: type[T], raw: str) -> T:
    """The dataclass a JSON text holds; members it lacks take their default (records of an older version)."""
    value: T = _adapter(kind).validate_json(raw)
    return value


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
