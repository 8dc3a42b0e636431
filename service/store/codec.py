"""Values to JSON and back, by their types."""

from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")

_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def to_json(value: object) -> str:
    """A dataclass as JSON; members at their default are kept, so that a later default cannot change an old record."""
    return _adapter(type(value)).dump_json(value).decode()


def from_json(kind: type[T], raw: str) -> T:
    """The dataclass a JSON text holds; members it lacks take their default (records of an older version)."""
    value: T = _adapter(kind).validate_json(raw)
    return value


def _adapter(kind: type) -> TypeAdapter[Any]:
    # Building one takes milliseconds; there is one per kind of record.
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
