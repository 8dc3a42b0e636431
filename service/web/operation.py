"""A route and what is said of it in one record: what is served is what is documented (`service.web.openapi`)."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from service.web.state import Request

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

Access = Literal["administrator", "administrator or application", "assertion", "hook secret", "logout token", "anyone"]
"""Who may call. `logout token`: the message in the body is its own credential, and refused with 400 where it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A body that is no pydantic model."""

    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    type: str = "application/json"


Answer: TypeAlias = type[BaseModel] | Media
"""What an answer's body is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    access: Access
    body: type[BaseModel] | None = None
    body_optional: bool = False
    """Whether it may come without its body."""
    body_schema: Mapping[str, Any] | None = None
    """A JSON schema, for bodies that are no pydantic model."""
    form: tuple[str, ...] = ()
    """The parameters of a form; the first is required."""
    max_body_bytes: int | None = None
    """Largest body, in bytes, where more than everywhere else is taken."""
    query: Mapping[str, str] = field(default_factory=dict)
    required_query: frozenset[str] = frozenset()
    """Those of `query` it does not come without."""
    query_example: str = ""
    """A query for the reference page, where it does not come without one."""
    example: Mapping[str, Any] | Sequence[Any] | None = None
    """A body, or a form's parameters, for the reference page: its variables come from the examples before it."""
    required_headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers it needs besides `Authorization`."""
    schemas: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON schemas of parameters of the path, the query, the headers and the form, by name, where a plain string would not
    be the whole truth."""
    responses: Mapping[int, str] = field(default_factory=lambda: {200: "Done."})
    """What each status means; those every operation of its access has are added."""
    answers: Mapping[int, Answer] = field(default_factory=dict)
    """What each answer holds. A success that is not here has no body, an error that is not here is an ordinary one."""
    cache_control: str = "no-store"
    """The header of that name on every success."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Other headers on every success, and what they tell."""
    always: bool = False
    """Whether it is answered however many requests are under way: whoever asks how the process does has to learn it."""
    audited: bool = True
    """Whether what it changes is told to the audit trail as an operator's act. False for what is everyday (sign-ins, tokens),
    and for what makes a revocation, whose own entry tells more."""

    shows_secret: bool = False
    """Whether its success is the only answer that ever shows a secret of ours. It waits for no disk and no replica then: a 503
    in its place would leave whoever asked without the secret, and an application whose old one is gone without any."""

    @property
    def is_audited(self) -> bool:
        """Whether the trail is told of its success: what only reads changes nothing."""
        return self.audited and self.method != "GET"


class _Path(Route):
    """A path of ours. The first that fits is the one that is meant: a method it does not take is 405, and no later template
    of another path is asked."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return (Match.FULL if match is Match.PARTIAL else match), found


def build_routes(operations: Iterable[Operation]) -> list[Route]:
    """One route per path; a method it does not take is 405, with all it does take in `Allow`."""
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for each in operations:
        if each.method in by_path[each.path]:
            raise ValueError(f"{each.method} {each.path} is there twice")
        by_path[each.path][each.method] = each.endpoint
    return [
        _Path(path, _by_method(endpoints), methods=[*endpoints], include_in_schema=False)
        for path, endpoints in by_path.items()
    ]


def larger_bodies(operations: Iterable[Operation]) -> dict[str, int]:
    """The largest body of each path that takes more than everywhere else, in bytes."""
    return {each.path: each.max_body_bytes for each in operations if each.max_body_bytes is not None}


def _by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in endpoints:
            raise HTTPException(405)
        return await endpoints[method](request)

    return dispatch
