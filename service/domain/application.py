"""An application: an OAuth client of the authorization server we stand beside, to be told when a person is signed out."""

from dataclasses import dataclass, field
from typing import Final

from service.domain.tls_identity import TlsIdentity

MOST_CONCURRENT: Final = 1024
"""Largest `delivery_max_concurrent`: more than a fleet has been seen to use for one application."""

LEAST_RATE: Final = 0.01
"""Smallest `delivery_rate_per_second`: one logout token in a hundred seconds."""

HIGHEST_RATE: Final = 1000.0
"""Largest `delivery_rate_per_second`: beyond it a millisecond is no pause."""

CLIENT_ID_LENGTH: Final = 256
"""Longest client_id, in characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A registered client, with the names of RFC 7591 and OIDC Back-Channel Logout section 2.2."""

    client_id: str
    client_name: str | None = None
    client_secret_hash: str
    """SHA-256 of the secret, which has 256 random bits of its own and so needs no salt or stretching."""
    backchannel_logout_uri: str | None = None
    """Where its logout tokens go; None: it is never told, and every receipt says so."""
    backchannel_logout_session_required: bool = False
    """True: each logout token must carry a `sid` (OIDC Back-Channel Logout section 2.2)."""
    id_token_signed_response_alg: str = "RS256"
    """The algorithm of its ID tokens, and so of its logout tokens (section 2.4)."""
    tls_ca_certificates: str | None = None
    """As in TlsIdentity, like the two that follow."""
    tls_client_certificate: str | None = None
    tls_client_key: str | None = field(default=None, repr=False)
    """Stored, never returned."""
    delivery_max_concurrent: int | None = None
    """Most logout tokens under way to it at once, from all workers together; None: as many as each worker has slots for."""
    delivery_rate_per_second: float | None = None
    """Most logout tokens sent to it in a second, likewise; None: any number."""
    created_at_ms: int
    updated_at_ms: int
    revision: int = 1
    """Counts its changes: of two made at once, one is told to look again."""

    @property
    def tls_identity(self) -> TlsIdentity | None:
        """How TLS with it goes, where that differs from everybody else's."""
        if self.tls_ca_certificates is None and self.tls_client_certificate is None:
            return None
        return TlsIdentity(
            ca_certificates=self.tls_ca_certificates,
            client_certificate=self.tls_client_certificate,
            client_key=self.tls_client_key,
        )
