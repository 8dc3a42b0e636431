"""What TLS demands of the other side, and what it shows of us."""

import contextlib
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service.domain.tls_identity import TlsIdentity
from service.outbound.failures import InvalidTlsIdentityError


def tls_context(*, ca_file: Path | None = None, identity: TlsIdentity | None = None) -> ssl.SSLContext:
    """A context that checks the certificate and the name in it, always; TLS 1.2 is the least.

    Authorities are the application's own where its `identity` has any, else those of `ca_file`, else the system's
    (OpenSSL's `SSL_CERT_FILE` and `SSL_CERT_DIR` say where those are). Reads files: not for the event loop.

    Not `ssl.create_default_context`: that one would write the secrets of every connection into the file `SSLKEYLOGFILE`
    names, and be stricter with one release of Python than with the next.

    Raises InvalidTlsIdentityError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        if identity is not None and identity.ca_certificates is not None:
            context.load_verify_locations(cadata=identity.ca_certificates)
            # What is listed is trusted, root or not: for a server's own certificate that is the whole point.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        elif ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
        else:
            context.load_default_certs()
        if identity is not None and identity.client_certificate is not None:
            with _file_of(f"{identity.client_key}{identity.client_certificate}") as path:
                # A password, lest OpenSSL asks the terminal for one.
                context.load_cert_chain(path, password="")
    except (ssl.SSLError, ValueError) as error:
        if identity is None:
            raise
        raise InvalidTlsIdentityError from error
    return context


@contextlib.contextmanager
def _file_of(text: str) -> Iterator[str]:
    """A file with `text`, for Python's ssl reads a private key from nowhere else. In memory where the system has that."""
    if sys.platform == "linux":
        number = os.memfd_create("tls", os.MFD_CLOEXEC)
        try:
            os.write(number, text.encode("ascii"))
            yield f"/proc/self/fd/{number}"
        finally:
            os.close(number)
    else:
        with tempfile.NamedTemporaryFile() as file:  # for its owner alone
            file.write(text.encode("ascii"))
            file.flush()
            yield file.name
