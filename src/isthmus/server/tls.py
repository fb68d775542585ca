"""TLS for listeners: a context from files, refused in words when the files are not what they should be.

It decides versions and what is asked of clients; who a certificate is, the driver reads from it.
"""

import ssl
from pathlib import Path
from typing import Literal

from isthmus.errors import InvalidArgument

Clients = Literal["optional", "required"]
"""Whether a client without a certificate is let in; a certificate that is shown is verified in both cases."""


def server_context(
    certificate: Path, key: Path | None, client_ca: Path | None = None, clients: Clients = "required"
) -> ssl.SSLContext:
    """A context for a server: TLS 1.2 and newer, no renegotiation.

    Args:
        certificate: the chain, the server's own first, in PEM.
        key: its key; None when it stands in the same file.
        client_ca: who signs clients' certificates; None: clients are not asked for one.

    Raises:
        InvalidArgument: a file is missing, or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise InvalidArgument("tls_cert", f"{certificate} with key {key or certificate}: {_said(error)}") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except OSError as error:
            raise InvalidArgument("tls_client_ca", f"{client_ca}: {_said(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED if clients == "required" else ssl.CERT_OPTIONAL
    return context


def _no_password() -> str:
    """Without this a server would stop at its terminal and ask."""
    raise ValueError("the key is encrypted; give one without a password, in a file that only the server reads")


def _said(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
