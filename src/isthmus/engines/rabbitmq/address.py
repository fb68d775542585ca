"""An `amqp://` address as what a connection, and the management API beside it, need.

`amqp://[user:password@]host[:port][/vhost][?name=value...]`, and `amqps://` for TLS; it connects to nobody.
"""

from typing import Final, Literal, cast
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from msgspec import Struct

from isthmus.errors import InvalidArgument

PORTS: Final = {"amqp": 5672, "amqps": 5671}
GUEST: Final = "guest"
KINDS: Final = ("quorum", "classic")
NAMES: Final = ("api", "ca", "heartbeat", "queues")
FORM: Final = "write amqp://user:password@host:port/vhost"


class Address(Struct, frozen=True, kw_only=True):
    """Where the broker is and how it is reached.

    `url` is the address without the password. `api` is the root of the management API, None when there is none to be
    used; the same user asks it. `queues` is the type of the queues that are made. `heartbeat_s` 0 is none.
    """

    url: str
    host: str
    port: int
    user: str
    password: str
    vhost: str = "/"
    tls: bool = False
    ca: str | None = None
    api: str | None = None
    queues: Literal["quorum", "classic"] = "quorum"
    heartbeat_s: int = 30


def parse(url: str) -> Address:
    """Read an address.

    Without user and password it is guest, whom RabbitMQ lets in from its own machine only. Without a path the virtual
    host is `/`; a slash within its name is written `%2F`.

    Raises:
        InvalidArgument: it is no such address, or has a setting that nobody knows.
    """
    parts = urlsplit(url)
    shown = _without_password(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidArgument("url", f"{shown!r} has no such port ({error}); {FORM}") from error
    if not host or parts.fragment or "/" in parts.path[1:]:
        raise InvalidArgument("url", f"{shown!r} names no broker, or more than a virtual host; {FORM}")
    rows = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(rows.keys() - set(NAMES))
    if unknown:
        raise InvalidArgument("url", f"{', '.join(unknown)} is no setting; there are {', '.join(NAMES)}")
    return Address(
        url=shown,
        host=host,
        port=port or PORTS[parts.scheme],
        user=unquote(parts.username or GUEST),
        password=unquote(parts.password or GUEST),
        vhost=unquote(parts.path[1:]) or "/",
        tls=parts.scheme == "amqps",
        ca=rows.get("ca"),
        api=_api(rows.get("api")),
        queues=_queues(rows.get("queues", "quorum")),
        heartbeat_s=_heartbeat(rows.get("heartbeat", "30")),
    )


def _api(text: str | None) -> str | None:
    if text is not None and urlsplit(text).scheme not in ("http", "https"):
        raise InvalidArgument("api", f"{text!r} is no address of a management API; write http://host:15672")
    return text.rstrip("/") if text is not None else None


def _queues(text: str) -> Literal["quorum", "classic"]:
    if text not in KINDS:
        raise InvalidArgument("queues", f"{text!r} is none of {', '.join(KINDS)}")
    return cast('Literal["quorum", "classic"]', text)


def _heartbeat(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65_536):
        raise InvalidArgument("heartbeat", f"{text!r} is no number of seconds below 65536")
    return int(text)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    given, at, hosts = parts.netloc.rpartition("@")
    if not at:
        return url
    return parts._replace(netloc=f"{given.partition(':')[0]}@{hosts}").geturl()


def quoted(text: str) -> str:
    """A name as one step of a path."""
    return quote(text, safe="")
