"""What a request finds in the application's state."""

from typing import TypeAlias, TypedDict

from starlette.requests import Request as StarletteRequest

from service.resources import Resources
from service.web.scrape import Scrape
from service.web.throttles import Throttles


class Leaving:
    """Whether this process is about to stop: set by the server, read by probes and by whoever answers on a connection that is
    kept open."""

    def __init__(self) -> None:
        self.now = False


class State(TypedDict):
    """Yielded by the lifespan; the framework hands each request a shallow copy."""

    resources: Resources
    leaving: Leaving
    throttles: Throttles
    scrape: Scrape


Request: TypeAlias = StarletteRequest[State]


def resources_of(request: Request) -> Resources:
    """The process's resources."""
    return request.state["resources"]


def throttles_of(request: Request) -> Throttles:
    """What the process counts of those who ask."""
    return request.state["throttles"]
