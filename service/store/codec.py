"""Values to JSON and back, by their types."""

from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


class UnreadableError(ValueError):
    """What is stored is not what is to be stored there. It says where, and nothing of what is: that may be a key or a name."""


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def to_json(value: object) -> str:
    """A dataclass as JSON; members at their default are kept, so that a later default cannot change an old record."""
    return _adapter(type(value)).dump_json(value).decode()


def from_json(kind: type[T], raw: str) -> T:
    """The dataclass a JSON text holds; members it lacks take their default (records of an older version). Raises
    UnreadableError."""
    value: T = read_json(_adapter(kind), raw, of=kind.__name__)
    return value


def read_json(adapter: TypeAdapter[T], raw: str, *, of: str) -> T:
    """What a JSON text holds, by a type that has no class of its own. `of`: its name, for the error. Raises UnreadableError."""
    try:
        return adapter.validate_json(raw)
    except ValidationError as error:
        # Its own words quote what was read.
        wrong = [(".".join(map(str, each["loc"])), each["type"]) for each in error.errors(include_input=False)]
    # Out here, so that it does not carry those words along.
    found = "; ".join(f"{where or 'the whole'}: {what}" for where, what in wrong)
    raise UnreadableError(f"{of} cannot be read: {found}")


def _adapter(kind: type) -> TypeAdapter[Any]:
    # Building one takes milliseconds; there is one per kind of record.
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
