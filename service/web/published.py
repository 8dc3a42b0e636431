"""What anyone may read: our endpoints' URLs, metadata, keys, health, numbers."""

import hashlib
import json
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from service.domain.connection import SIGNING_ALGORITHMS
from service.errors import Unavailable
from service.keys.times import JWKS_MAX_AGE_S
from service.resources import Resources, awaited_by, unfit_for_the_record
from service.settings import Settings
from service.store.health import inspect_redis
from service.web.fleet import FleetCollector
from service.web.operation import Operation
from service.web.problems import NO_STORE
from service.web.published_answers import JWKS, METRICS, Health, Metadata, Readiness, Unreadiness
from service.web.state import Request, resources_of

PUBLIC_CACHE: Final = {"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"}
"""Metadata and keys may be kept for five minutes: well shorter than a new key is published before it signs."""

CLIENT_AUTHENTICATION: Final = ("client_secret_basic", "client_secret_post")
"""How an application may prove itself where it sends a form (RFC 6749 section 2.3.1)."""

LEAVING_RETRY_AFTER_S: Final = 1
"""When a probe may ask again, in seconds: it reaches another process then."""

RETRY_AFTER_S: Final = 5
"""When a probe may look again at a Redis that is not fit, in seconds."""


def global_token_revocation_url(settings: Settings, connection_name: str) -> str:
    """The door an identity provider is configured with, and the only `aud` its assertions may have."""
    return f"{settings.base_url}/oauth/global-token-revocation/connection/{connection_name}"


def backchannel_logout_url(settings: Settings, connection_name: str) -> str:
    """Where an identity provider sends its logout tokens."""
    return f"{settings.base_url}/oauth/backchannel-logout/connection/{connection_name}"


def okta_event_hook_url(settings: Settings, connection_name: str) -> str:
    """Where Okta sends its event hooks."""
    return f"{settings.base_url}/webhooks/okta/connection/{connection_name}"


async def read_metadata(request: Request) -> Response:
    """Metadata of RFC 8414 and OpenID Connect Discovery, as far as it is ours: the server beside us has its own."""
    resources = resources_of(request)
    settings = resources.settings
    metadata: dict[str, Any] = {
        "issuer": settings.token_issuer,
        "jwks_uri": f"{settings.base_url}/.well-known/jwks.json",
        "introspection_endpoint": f"{settings.base_url}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": list(CLIENT_AUTHENTICATION),
        "revocation_endpoint": f"{settings.base_url}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": list(CLIENT_AUTHENTICATION),
        "global_token_revocation_endpoint": global_token_revocation_url(settings, "{connection_name}"),
        "global_token_revocation_endpoint_auth_methods_supported": ["Bearer"],
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "id_token_signing_alg_values_supported": [
            each for each in SIGNING_ALGORITHMS if each in resources.key_ring.algorithms
        ],
        "subject_types_supported": ["public", "pairwise"],
        # Required (RFC 8414 section 2), and there are none: nobody signs in here. Section 3.2 would leave an empty list out, and
        # libraries would refuse the whole.
        "response_types_supported": [],
    }
    return JSONResponse(metadata, headers=PUBLIC_CACHE)


async def read_authorization_server_metadata(request: Request) -> Response:
    """The same where RFC 8414 section 3 has it."""
    return await read_metadata(request)


async def read_jwks(request: Request) -> Response:
    """The public keys logout tokens are, will be and were signed with; 304 to whoever has them (RFC 9110 section 13.1.2)."""
    body = json.dumps(resources_of(request).key_ring.jwks(), separators=(",", ":")).encode()
    # Of the content alone: every process with the same keys says the same.
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**PUBLIC_CACHE, "ETag": tag}
    if _has(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/jwk-set+json", headers=headers)


def _has(request: Request, tag: str) -> bool:
    known = [each.strip() for line in request.headers.getlist("if-none-match") for each in line.split(",")]
    return "*" in known or tag in {each.removeprefix("W/") for each in known}


async def read_health(_request: Request) -> Response:
    """The process is alive; nothing else is asked, so that no outage elsewhere has it restarted."""
    return JSONResponse({"status": "ok"}, headers=NO_STORE)


async def read_readiness(request: Request) -> Response:
    """Whether requests should be sent here: this process is to stay, Redis answers and is fit to hold the record, and there are
    signing keys.

    Queue and workers are told and do not count: while they lag, a revocation is in force all the same, and a door taken
    away would lose the next one.
    """
    if request.state["leaving"].now:
        return _not_ready("this process is about to stop", LEAVING_RETRY_AFTER_S, {})
    resources = resources_of(request)
    told: dict[str, Any] = {"signing_keys": list(resources.key_ring.algorithms)}
    if resources.key_file.trouble is not None:
        # The keys from before go on signing, so requests may come; the next start would fail.
        told["signing_keys_error"] = resources.key_file.trouble
    try:
        now_ms = resources.fleet_clock.now_ms()
        backlog = await resources.schedule.backlog()
        alive = await resources.heartbeats.alive(now_ms=now_ms)
        unfit = unfit_for_the_record(
            await inspect_redis(resources.record.client, awaited=awaited_by(resources.settings))
        )
    except Unavailable as error:
        return _not_ready(str(error), error.retry_after, told)
    if unfit is not None:
        return _not_ready(f"{unfit.subject}: {unfit.detail}", RETRY_AFTER_S, told)
    overdue_ms = 0 if backlog.most_overdue_ms is None else max(0, now_ms - backlog.most_overdue_ms)
    overdue_s = max(overdue_ms / 1000, await resources.queue.oldest_age_s("urgent"))
    told["queue"] = {"open_revocations": backlog.open_revocations, "overdue_seconds": overdue_s}
    return JSONResponse({"status": "ok", "redis": "ok", **told, "workers": len(alive)}, headers=NO_STORE)


def _not_ready(why: str, retry_after_s: int, told: dict[str, Any]) -> Response:
    body = {"error": "temporarily_unavailable", "error_description": why, "status": "unavailable", "redis": why, **told}
    return JSONResponse(body, status_code=503, headers={**NO_STORE, "Retry-After": str(retry_after_s)})


async def read_metrics(request: Request) -> Response:
    """This process's numbers and the fleet's, for Prometheus: of at most a second ago."""
    resources = resources_of(request)
    body = await request.state["scrape"].read(lambda: _numbers(resources))
    return Response(body, headers={**NO_STORE, "Content-Type": CONTENT_TYPE_LATEST})


async def _numbers(resources: Resources) -> bytes:
    fleet = await FleetCollector.read(
        statistics=resources.statistics,
        schedule=resources.schedule,
        heartbeats=resources.heartbeats,
        blast_radius=resources.blast_radius,
        dead_letters=resources.dead_letters,
        queue=resources.queue,
        client_healths=resources.client_healths,
        backlogs=resources.backlogs,
        clock=resources.fleet_clock,
    )
    return generate_latest(resources.numbers.registry) + fleet.exposition()


OPERATIONS = (
    Operation(
        method="GET",
        path="/.well-known/openid-configuration",
        endpoint=read_metadata,
        summary="Metadata (OpenID Connect Discovery)",
        tag="Published",
        access="anyone",
        answers={200: Metadata},
        cache_control=PUBLIC_CACHE["Cache-Control"],
    ),
    Operation(
        method="GET",
        path="/.well-known/oauth-authorization-server",
        endpoint=read_authorization_server_metadata,
        summary="Metadata (RFC 8414)",
        tag="Published",
        access="anyone",
        answers={200: Metadata},
        cache_control=PUBLIC_CACHE["Cache-Control"],
    ),
    Operation(
        method="GET",
        path="/.well-known/jwks.json",
        endpoint=read_jwks,
        summary="Public keys (RFC 7517)",
        tag="Published",
        access="anyone",
        responses={200: "The keys.", 304: "They are those whose `ETag` came in `If-None-Match`."},
        answers={200: JWKS},
        cache_control=PUBLIC_CACHE["Cache-Control"],
        headers={"ETag": "Of the keys."},
    ),
    Operation(
        method="GET",
        path="/healthz",
        endpoint=read_health,
        summary="The process is alive",
        tag="Published",
        access="anyone",
        always=True,
        answers={200: Health},
    ),
    Operation(
        method="GET",
        path="/readyz",
        endpoint=read_readiness,
        summary="Requests can be served",
        tag="Published",
        access="anyone",
        always=True,
        responses={
            200: "Ready.",
            503: "Redis cannot be reached or may not hold the record, or this process is about to stop.",
        },
        answers={200: Readiness, 503: Unreadiness},
    ),
    Operation(
        method="GET",
        path="/metrics",
        endpoint=read_metrics,
        summary="Numbers for Prometheus",
        tag="Published",
        access="anyone",
        always=True,
        answers={200: METRICS},
    ),
)
