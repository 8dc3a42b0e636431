"""How one application's server is recognised over TLS, and how it recognises us, where that is agreed with it alone."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """Two of them are equal when the same connections may serve both. At least one member is not None."""

    ca_certificates: str | None = None
    """The certificates its own must lead to, as PEM; nothing else is trusted then. None: the system's authorities."""
    client_certificate: str | None = None
    """The certificate we show, as PEM, the ones it leads to after it (mutual TLS, as RFC 8705 section 2 has it between
    a client and its authorization server). Always with a `client_key`."""
    client_key: str | None = field(default=None, repr=False)
    """Its private key, as PEM without a passphrase."""
