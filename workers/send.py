"""Mint one logout token and send it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from service.domain.application import Application
from service.domain.clock import Clock
from service.domain.delivery import Delivery
from service.keys.ring import KeyRing
from service.outbound import Outbound
from service.telemetry import get_logger
from workers.logout_token import mint_logout_token
from workers.outbound import Outcome, post_logout_token

log = get_logger(__name__)


@dataclass(kw_only=True)
class Sender:
    """What sending takes; one per worker process."""

    issuer: str
    clock: Clock
    key_ring: KeyRing
    outbound: Outbound
    _signers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "sign"))

    async def send(self, delivery: Delivery, application: Application, uri: str) -> Outcome:
        """Tell the application, and say what came of it. Never raises, cancellation apart."""
        loop = asyncio.get_running_loop()
        try:
            token = await loop.run_in_executor(
                self._signers,
                lambda: mint_logout_token(
                    delivery,
                    key_ring=self.key_ring,
                    algorithm=application.id_token_signed_response_alg,
                    issuer=self.issuer,
                    now_s=self.clock.now_ms() // 1000,
                ),
            )
            tls = application.tls_identity
            return await post_logout_token(self.outbound, uri=uri, token=token, tls=tls, clock=self.clock)
        except KeyError:
            return Outcome(status=None, error="no_signing_key", verdict="try_later", retry_after_s=None, duration_ms=0)
        except Exception:  # counted as an attempt like any other, so that it ends some day
            log.exception("delivery.attempt_fault", delivery_id=delivery.delivery_id)
            return Outcome(status=None, error="internal_error", verdict="try_later", retry_after_s=None, duration_ms=0)

    def close(self) -> None:
        """Let go of the threads. Nothing may be sent after this."""
        self._signers.shutdown(wait=False)
