"""What a request finds in the application's state."""

from typing import TypeAlias, TypedDict

from starlette.requests import Request as StarletteRequest

from service.resources import Resources


class State(TypedDict):
    """Yielded by the lifespan; the framework hands each request a shallow copy."""

    resources: Resources


Request: TypeAlias = StarletteRequest[State]


def resources_of(request: Request) -> Resources:
    """The process's resources."""
    return request.state["resources"]
