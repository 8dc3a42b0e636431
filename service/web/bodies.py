"""Reading what callers send, strictly: what is ambiguous is refused, and named."""

import json
import math
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, NoReturn, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import JsonSchemaValue

from service.errors import InvalidRequest, UnsupportedMediaType
from service.web.state import Request

MAX_BODY_BYTES: Final = 65_536
"""Largest request body, in bytes; more is 413. The largest honest one is a connection with its certificates."""

MAX_FORM_FIELDS: Final = 32
"""Most parameters in a form; the forms we read have three."""

MAX_JSON_DEPTH: Final = 32
"""How deep arrays and objects may lie in each other; the deepest honest body, a batch of Okta's events, has six levels. What
walks a value later may then do so without a bound of its own."""

MAX_NUMBER_CHARACTERS: Final = 32
"""Longest number in JSON, in characters: a double has seventeen digits, and reading ten thousand takes long."""

MAX_NAMED: Final = 5
"""Most problems one answer names."""

_MOMENT: Final = re.compile(
    r"(?P<minute>[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:)(?P<second>[0-9]{2})"
    r"(?P<rest>(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2}))",
    re.ASCII,
)
"""RFC 3339 section 5.6, with a zone as it must be."""

M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """Base of every JSON body: unknown members are refused, types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    never_changes: ClassVar[frozenset[str]] = frozenset()
    """Members a change may not name although the thing has them: refused in other words than those nobody knows."""


def never_null(schema: JsonSchemaValue) -> None:
    """For the schema of a member that may be left out, for which None stands here, and may not be null."""
    schema.pop("default", None)
    (kept,) = [each for each in schema.pop("anyOf") if each != {"type": "null"}]
    schema.update(kept)


async def read_json(request: Request, *, demand_type: bool = False) -> Any:
    """The body as JSON. Raises InvalidRequest: not UTF-8, not JSON, a member twice, NaN, beyond a limit; UnsupportedMediaType
    where `demand_type` and the Content-Type is not JSON."""
    if demand_type and not _is_json(request.headers.get("content-type", "")):
        raise UnsupportedMediaType("the body must be sent as application/json")
    return _strict(await request.body())


async def read_body(request: Request, model: type[M]) -> M:
    """The body as a `model`, whatever its Content-Type. Raises InvalidRequest naming each member that is wrong."""
    raw = await request.body()
    _strict(raw)
    unchanging = model.never_changes if issubclass(model, Body) else frozenset()
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise InvalidRequest(describe(error, never_changes=unchanging)) from None


async def read_optional_body(request: Request, model: type[M]) -> M:
    """The body as a `model`, where there is one; without one, the `model` with nothing in it. Raises InvalidRequest."""
    return await read_body(request, model) if await request.body() else model()


def describe(error: ValidationError, *, never_changes: frozenset[str] = frozenset()) -> str:
    """What is wrong, by member; the values given are not repeated."""
    told = []
    for each in error.errors(include_input=False, include_url=False)[:MAX_NAMED]:
        where = ".".join(str(part)[:64] for part in each["loc"]) or "the body"
        if each["type"] == "extra_forbidden" and where in never_changes:
            told.append(f"`{where}` never changes")
        elif each["type"] == "extra_forbidden":
            told.append(f"`{where}` is not a member of this request")
        elif each["type"] == "missing":
            told.append(f"`{where}` is missing")
        else:
            told.append(f"`{where}`: {each['msg'].removeprefix('Value error, ')}")
    more = error.error_count() - len(told)
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def is_form(request: Request) -> bool:
    """Whether the body says that it is a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


async def read_form(request: Request, *, only: Collection[str] | None = None) -> dict[str, str]:
    """A form's parameters, or `only` those: others are ignored then, however often they are there.

    Raises UnsupportedMediaType, or InvalidRequest when one is there twice (RFC 6749 section 3.1).
    """
    if not is_form(request):
        raise UnsupportedMediaType("the body must be sent as application/x-www-form-urlencoded")
    try:
        pairs = parse_qsl(
            (await request.body()).decode("utf-8"),
            keep_blank_values=True,
            max_num_fields=MAX_FORM_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise InvalidRequest(f"the form is malformed or has more than {MAX_FORM_FIELDS} parameters") from None
    if only is not None:
        pairs = [(name, value) for name, value in pairs if name in only]
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidRequest("a form parameter is there more than once")
    return form


def moment(ms: int) -> str:
    """A time as answers write it: RFC 3339, UTC, milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_moment(text: str, name: str) -> int:
    """An RFC 3339 time of a member or parameter called `name`, in milliseconds since the epoch. Raises InvalidRequest."""
    refused = InvalidRequest(f"`{name}` must be an RFC 3339 time, such as 2026-01-31T09:00:00Z")
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise refused
    # Python knows no leap second; the second before it is near enough.
    second = "59" if found["second"] == "60" else found["second"]
    try:
        at = datetime.fromisoformat(f"{found['minute']}{second}{found['rest']}".upper())
    except ValueError:
        raise refused from None
    return int(at.timestamp() * 1000)


def moment_or_none(ms: int | None) -> str | None:
    """`moment`, where there is one."""
    return None if ms is None else moment(ms)


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _strict(raw: bytes) -> Any:
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_real,
        )
    except InvalidRequest:
        raise
    except UnicodeDecodeError:
        raise InvalidRequest("the body is not UTF-8") from None
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not valid JSON") from None
    _refuse_deep(value)
    return value


def _refuse_deep(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise InvalidRequest(f"the body is nested deeper than {MAX_JSON_DEPTH} levels")


def _inside(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _integer(text: str) -> int:
    return int(_short(text))


def _real(text: str) -> float:
    value = float(_short(text))
    if math.isinf(value):
        raise InvalidRequest("a number is too large")
    return value


def _short(text: str) -> str:
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise InvalidRequest(f"a number is longer than {MAX_NUMBER_CHARACTERS} characters")
    return text


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidRequest("a JSON object has the same member twice")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise InvalidRequest("NaN and Infinity are not JSON")
