"""One event, one line; and the numbers of this process. Names here are what dashboards and alerts are written against."""

import logging
import sys
from typing import Any, Final, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from service.domain.clock import Clock
from service.domain.token_buckets import TokenBuckets

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
"""Upper bounds of the latency histograms, in seconds: from one Redis round trip to a minute."""

LINES_A_MINUTE: Final = 60
"""How many lines of one kind about one address are written down in a minute, over time: as many may come at once."""

REDACTED: Final = "[redacted]"

_SECRET_NAMES: Final = frozenset(
    {
        "authorization",
        "token",
        "refresh_token",
        "client_secret",
        "logout_token",
        "password",
        "secret",
        "email",
        "identifier",
    }
)


class Numbers:
    """The metrics one process counts by itself. The fleet's (deliveries, queue) are in Redis: `service.store.statistics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.door_requests = Counter(
            "logoutd_door_requests",
            "Requests at a door, by door and outcome (`accepted` or the reason of refusal).",
            ["door", "outcome"],
            registry=self.registry,
        )
        self.okta_events = Counter(
            "logoutd_okta_events",
            "Events of Okta's event hooks, by type (`other`: it ends no sessions) and what became of each.",
            ["type", "outcome"],
            registry=self.registry,
        )
        self.http_requests = Counter(
            "logoutd_http_requests",
            "HTTP requests, by route template, method and status class.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.limited = Counter(
            "logoutd_limited",
            "Requests and connections that met a limit of this process, by limit.",
            ["limit"],
            registry=self.registry,
        )
        self.accept_seconds = Histogram(
            "logoutd_accept_seconds",
            "From a request's arrival at a door to its success answer, in seconds.",
            ["door"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.revoked_seconds = Histogram(
            "logoutd_revoked_seconds",
            "From a revocation's record to the moment nothing it covers is honoured, in seconds.",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.jwks_fetches = Counter(
            "logoutd_jwks_fetches",
            "Fetches of an identity provider's keys, by outcome (`ok`, `failed`).",
            ["outcome"],
            registry=self.registry,
        )
        self.audit_entries = Counter(
            "logoutd_audit_entries",
            "Entries appended to the audit trail.",
            registry=self.registry,
        )
        self.audit_failures = Counter(
            "logoutd_audit_failures",
            "Entries that could not be appended to the audit trail because Redis could not be reached.",
            registry=self.registry,
        )
        self.enqueue_failures = Counter(
            "logoutd_enqueue_failures",
            "Jobs that could not be queued at once and are left to the sweeper.",
            registry=self.registry,
        )


def configure_logging(*, log_format: Literal["json", "console"], log_level: str) -> None:
    """Send every log line, ours and our libraries', to stderr in one format. Call once per process."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    if log_format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer: Any = structlog.processors.JSONRenderer()
    else:
        # The default with rich installed shows every local variable of a traceback, and some are secrets.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(log_level.upper())
    # These log request lines, arguments or connection details of their own; our events say what is worth saying.
    for name in ("arq", "httpx", "httpcore", "aiohttp", "asyncio", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)


class BoundedLines:
    """How many lines of one kind the log takes, by whom they are about: a flood must not fill a disk. What they are about is
    counted in /metrics, each time."""

    def __init__(self, clock: Clock) -> None:
        self._lines = TokenBuckets(clock, per_second=LINES_A_MINUTE / 60, burst=LINES_A_MINUTE)
        self._omitted = 0

    def admit(self, source: str = "") -> bool:
        """Whether another line is to be written."""
        if self._lines.take(source) > 0:
            self._omitted += 1
            return False
        return True

    def omitted(self) -> dict[str, int]:
        """What the next line says of those before it that were left out: how many, if any were."""
        omitted, self._omitted = self._omitted, 0
        return {"omitted": omitted} if omitted else {}


def redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Last line of defence: a field named like a secret loses its value. Code must not log one in the first place."""
    for name in event:
        if name.lower() in _SECRET_NAMES:
            event[name] = REDACTED
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for one module."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
