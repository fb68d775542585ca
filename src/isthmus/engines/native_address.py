"""Addresses of servers: `isthmus://[user:password@]host[:port]`, and `isthmuss://` for TLS.

It reads addresses and makes the context of TLS; it connects to nobody.
"""

import ssl
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote

from msgspec import Struct

from isthmus.engines.native_link import Login, Target
from isthmus.errors import InvalidArgument

PORT: Final = 8320
PLAIN: Final = "isthmus"
SECURE: Final = "isthmuss"
OPTIONS: Final = frozenset({"ca", "cert", "key"})


class Address(Struct, frozen=True, kw_only=True):
    """Where a server is and who this is; `shown` is the address without the password."""

    shown: str
    target: Target
    login: Login | None


def read(parts: SplitResult) -> Address:
    """The address that a URL says.

    Options behind a `?`, with TLS only: `ca` is a file of certificates to trust instead of the system's, `cert` and
    `key` are files with this client's own certificate.

    Raises:
        InvalidArgument: it cannot be read, or a file is not what it should be.
    """
    try:
        port = parts.port
    except ValueError as error:
        raise InvalidArgument("url", f"{_shown(parts)}: {error}") from error
    if parts.path not in ("", "/") or parts.fragment or not parts.hostname:
        raise InvalidArgument("url", f"{_shown(parts)} is no isthmus://host:port; a path belongs to isthmus:///path")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = parts.scheme == SECURE
    for name in options:
        if name not in OPTIONS or not secure:
            raise InvalidArgument(
                "url", f"{name!r} is no option of {parts.scheme}://; isthmuss:// has ca, cert and key"
            )
    target = Target(host=parts.hostname, port=PORT if port is None else port, tls=_context(options) if secure else None)
    return Address(shown=_shown(parts), target=target, login=_login(parts))


def _login(parts: SplitResult) -> Login | None:
    if parts.username is None:
        return None
    return Login(user=unquote(parts.username), password=unquote(parts.password or ""))


def _shown(parts: SplitResult) -> str:
    user, _, place = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return parts._replace(netloc=f"{name}@{place}" if name else place).geturl()


def _context(options: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.get("ca"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if "cert" in options:
            context.load_cert_chain(options["cert"], options.get("key"))
    except (OSError, ssl.SSLError) as error:
        raise InvalidArgument("url", f"a file for TLS cannot be used: {error.strerror or error}") from error
    return context
