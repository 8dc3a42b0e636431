"""Clients as the management API answers them: their registration, and how they are told."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal

from pydantic import Field

from service.admin.client_tls import ClientTlsAnswer, describe_tls
from service.domain.application import Application
from service.domain.client_health import Breaker, ClientHealth, State
from service.errors import NotFound
from service.resources import Resources
from service.web.answers import Answer, Moment, absent
from service.web.bodies import moment, moment_or_none
from service.web.state import Request, resources_of

SigningAlgorithm = Literal["RS256", "PS256", "ES256", "EdDSA"]

SUSPENDED: Final = "no_answer_for_days"
"""The reason of a suspension."""


class ClientDelivery(Answer):
    """Whether logout tokens are sent to a client now, and what waits for it. It cannot be set."""

    state: State = Field(
        description="`active`. `paused`: by an operator; nothing is sent, and nothing given up. `suspended`: it has not answered "
        "for days; it is tried once an hour, until it answers or is resumed."
    )
    reason: str | None = Field(description=f"Of a pause, in the operator's words; of a suspension `{SUSPENDED}`.")
    since: Moment | None = Field(description="Of the pause or the suspension.")
    breaker: Breaker = Field(
        description="`open`: it failed several times in a row, and what it is owed waits. `half_open`: the next logout token "
        "finds out whether it is back."
    )
    failing_since: Moment | None = Field(description="Its first failure since it last answered.")
    next_probe_at: Moment | None = Field(
        description="When it is tried next, while the breaker is open or it has asked to be left alone (`Retry-After`; with the "
        "breaker closed, that alone)."
    )
    waiting: int = Field(ge=0, description="Logout tokens it is owed that wait until they can be sent.")


class ClientAnswer(Answer):
    """A client."""

    client_id: str
    client_name: str | None
    backchannel_logout_uri: str | None
    backchannel_logout_session_required: bool
    id_token_signed_response_alg: SigningAlgorithm
    tls: ClientTlsAnswer = absent("What is agreed on TLS with it alone. No private key.")
    delivery_max_concurrent: int | None
    delivery_rate_per_second: float | None
    delivery: ClientDelivery
    created_at: Moment
    updated_at: Moment


class ClientAsItStands(ClientAnswer):
    """A client, and how many dead letters it has."""

    dead_letters: int = Field(
        ge=0, description="Deliveries to it that were given up: `GET /api/v2/deliveries?state=dead&client_id=…`."
    )


class ClientWithSecret(ClientAnswer):
    """A client and, this once, its secret."""

    client_secret: str


async def find_client(request: Request) -> Application:
    """The client a path names. Raises NotFound."""
    found = await resources_of(request).applications.get(request.path_params["client_id"])
    if found is None:
        raise NotFound("there is no such client")
    return found


async def describe_client(resources: Resources, application: Application) -> dict[str, Any]:
    """A client as answered."""
    (told,) = await describe_clients(resources, [application])
    return told


async def describe_clients(resources: Resources, applications: Sequence[Application]) -> list[dict[str, Any]]:
    """Clients as answered, in their order."""
    deliveries = await _deliveries_of(resources, (each.client_id for each in applications))
    return [_describe(each, deliveries[each.client_id]) for each in applications]


def _describe(application: Application, delivery: dict[str, Any]) -> dict[str, Any]:
    return {
        "client_id": application.client_id,
        "client_name": application.client_name,
        "backchannel_logout_uri": application.backchannel_logout_uri,
        "backchannel_logout_session_required": application.backchannel_logout_session_required,
        "id_token_signed_response_alg": application.id_token_signed_response_alg,
        **describe_tls(application),
        "delivery_max_concurrent": application.delivery_max_concurrent,
        "delivery_rate_per_second": application.delivery_rate_per_second,
        "delivery": delivery,
        "created_at": moment(application.created_at_ms),
        "updated_at": moment(application.updated_at_ms),
    }


async def _deliveries_of(resources: Resources, client_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The member `delivery` of each of these clients."""
    wanted = sorted(set(client_ids))
    healths = await resources.client_healths.get_many(wanted)
    waiting = await resources.backlogs.counts(wanted)
    now_ms = resources.fleet_clock.now_ms()
    return {each: _delivery(healths[each], waiting[each], now_ms) for each in wanted}


def _delivery(health: ClientHealth, waiting: int, now_ms: int) -> dict[str, Any]:
    reason: str | None = None
    since_ms: int | None = None
    match health.state:
        case "paused":
            reason, since_ms = health.pause_reason, health.paused_at_ms
        case "suspended":
            reason, since_ms = SUSPENDED, health.suspended_at_ms
        case "active":
            pass
    return {
        "state": health.state,
        "reason": reason,
        "since": moment_or_none(since_ms),
        "breaker": health.breaker(now_ms),
        "failing_since": moment_or_none(health.failing_since_ms),
        "next_probe_at": moment_or_none(health.next_try_at_ms(now_ms)),
        "waiting": waiting,
    }
