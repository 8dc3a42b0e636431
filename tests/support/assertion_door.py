"""What stands before the verification of an assertion: a connection, its identity provider's keys, a clock that stands."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any, Final

import pytest

from service.domain.connection import Connection
from service.errors import NotAuthenticated
from service.outbound import open_outbound
from service.telemetry import Numbers
from service.verify.caller_assertion import VerifiedCaller, verify_caller_assertion
from service.verify.issuer_keys import IssuerKeys
from tests.support import tokens
from tests.support.clock import HandClock
from tests.support.identity_provider import CLIENT_ID, NOTHING, IdentityProvider

AUDIENCE: Final = "https://logout.example.com/oauth/global-token-revocation/connection/okta"
"""The endpoint's URL, as it is built from PUBLIC_URL."""


class Door:
    """What stands before the verification: a connection to an identity provider, its keys, a clock that stands still."""

    def __init__(self, *, runner: asyncio.Runner, idp: IdentityProvider, keys: IssuerKeys, clock: HandClock) -> None:
        self.runner = runner
        self.idp = idp
        self.keys = keys
        self.clock = clock
        self.connection = idp.connection()

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return self.clock.now_s

    def assertion(
        self,
        *,
        alg: str = "ES256",
        claims: Mapping[str, Any] = NOTHING,
        header: Mapping[str, Any] = NOTHING,
    ) -> str:
        """A good assertion; `claims` and `header` lay over the ordinary."""
        return self.idp.assertion(audience=AUDIENCE, alg=alg, now_s=self.now, claims=claims, header=header)

    def with_payload(self, payload: tokens.Part) -> str:
        """An assertion with a good header and a good signature over whatever the payload is."""
        return tokens.signed(payload, key=self.idp.keys["ES256"], alg="ES256", header=self.idp.header("ES256"))

    def with_raw_claims(self, **raw: str) -> str:
        """An assertion whose claims are ordinary but for those given, which stand there as written."""
        claims = self.idp.claims(audience=AUDIENCE, client_id=CLIENT_ID, now_s=self.now)
        written = {**{name: json.dumps(value) for name, value in claims.items()}, **raw}
        return self.with_payload(("{" + ",".join(f'"{name}":{text}' for name, text in written.items()) + "}").encode())

    def claims(self, **changes: Any) -> dict[str, Any]:
        """The ordinary claims, with changes."""
        return tokens.overridden(self.idp.claims(audience=AUDIENCE, client_id=CLIENT_ID, now_s=self.now), changes)

    def verify(self, token: str, *, connection: Connection | None) -> VerifiedCaller:
        """What the verification makes of it."""
        return self.runner.run(
            verify_caller_assertion(
                token, connection=connection, audience=AUDIENCE, keys=self.keys, now_ms=self.clock.now_ms()
            )
        )

    def accepts(self, token: str, **options: Any) -> VerifiedCaller:
        """Verify it for the connection, with `options` of that changed."""
        return self.verify(token, connection=self.idp.connection(**options))

    def refuses(self, token: str, **options: Any) -> NotAuthenticated:
        """The refusal; it says nothing that stood in the token but what our own configuration says too."""
        with pytest.raises(NotAuthenticated) as refused:
            self.accepts(token, **options)
        message = str(refused.value)
        assert (refused.value.error, refused.value.scheme) == ("invalid_token", "Bearer")
        assert not any(part in message for part in token.split(".") if len(part) > 3)
        assert "s3cret" not in message
        return refused.value


@contextlib.contextmanager
def standing() -> Iterator[Door]:
    """A Door in an event loop of its own, for tests that are no coroutines (hypothesis runs many in one)."""
    clock = HandClock()
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def opened() -> Door:
            idp = await stack.enter_async_context(IdentityProvider.running())
            outbound = await stack.enter_async_context(open_outbound(allowed_networks=(ip_network("127.0.0.0/8"),)))
            keys = IssuerKeys(fetcher=outbound, clock=clock, numbers=Numbers())
            stack.push_async_callback(keys.close)
            return Door(runner=runner, idp=idp, keys=keys, clock=clock)

        yield runner.run(opened())
        runner.run(stack.aclose())
