"""A `kafka://` address as settings of librdkafka.

`kafka://[user:password@]host:port[,host:port...][/?name=value...]`; it connects to nobody.
"""

from collections.abc import Mapping
from typing import Final, Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from isthmus.errors import InvalidArgument

DEFAULT_PORT: Final = 9092
QUEUES: Final = ("auto", "share", "group")
OURS: Final = frozenset(
    "acks auto.offset.reset bootstrap.servers client.id delivery.report.only.error dr_cb enable.auto.commit"
    " enable.auto.offset.store enable.idempotence enable.partition.eof error_cb group.id group.protocol isolation.level"
    " logger oauth_cb on_commit on_delivery partition.assignment.strategy partitioner share.acknowledgement.mode"
    " stats_cb throttle_cb transactional.id".split()
)
"""Settings of librdkafka on which the engine's promises rest, so that nobody else may set them."""

FORM: Final = "write kafka://host:port or kafka://host:port,host:port/?name=value"


class Address(Struct, frozen=True, kw_only=True):
    """Where the cluster is and how it is reached.

    `url` is the address without the password. `queues` says how queues are kept: by share groups, by consumer groups,
    or by whichever the cluster has. `settings` are librdkafka's.
    """

    url: str
    settings: Mapping[str, str]
    queues: Literal["auto", "share", "group"] = "auto"


def parse(url: str) -> Address:
    """Read a `kafka://` address.

    A user and a password mean SASL, by `mechanism=` (SCRAM-SHA-512 unless given); `tls=true` means TLS, with
    `ca=FILE` for an authority of one's own; `queues=share|group` chooses how queues are kept. Every other name is a
    setting of librdkafka with its value.

    Raises:
        InvalidArgument: it is no such address, or sets what the engine decides.
    """
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.fragment:
        raise InvalidArgument("url", f"{_without_password(url)!r} names a path, and a cluster has none; {FORM}")
    user, hosts = _split_user(parts.netloc)
    rows = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=False))
    queues = rows.pop("queues", "auto")
    if queues not in QUEUES:
        raise InvalidArgument("queues", f"{queues!r} is none of {', '.join(QUEUES)}")
    settings = {"bootstrap.servers": ",".join(map(_host, hosts.split(",")))}
    settings |= _security(user, rows)
    taken = sorted(OURS & rows.keys())
    if taken:
        raise InvalidArgument("url", f"{', '.join(taken)} cannot be set: the engine's promises rest on it")
    return Address(
        url=_without_password(url),
        settings=settings | rows,
        queues=cast("Literal['auto', 'share', 'group']", queues),
    )


def _split_user(netloc: str) -> tuple[tuple[str, str] | None, str]:
    given, at, hosts = netloc.rpartition("@")
    if not at:
        return None, netloc
    name, colon, password = given.partition(":")
    if not (name and colon):
        raise InvalidArgument("url", "a user needs a password: kafka://user:password@host:port")
    return (unquote(name), unquote(password)), hosts


def _host(text: str) -> str:
    if not text:
        raise InvalidArgument("url", f"a host is missing; {FORM}")
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        return f"{text}:{DEFAULT_PORT}"
    if not (host and port.isdecimal() and 0 < int(port) < 65_536):
        raise InvalidArgument("url", f"{text!r} is no host:port; {FORM}")
    return text


def _security(user: tuple[str, str] | None, rows: dict[str, str]) -> dict[str, str]:
    tls = rows.pop("tls", "false").lower()
    if tls not in ("true", "false"):
        raise InvalidArgument("tls", f"{tls!r} is neither true nor false")
    mechanism, authority = rows.pop("mechanism", "SCRAM-SHA-512"), rows.pop("ca", None)
    found: dict[str, str] = {}
    if user is not None:
        found |= {"sasl.username": user[0], "sasl.password": user[1], "sasl.mechanism": mechanism}
    if authority is not None:
        found["ssl.ca.location"] = authority
    if tls == "true" or user is not None:
        kind = "SASL_" if user is not None else ""
        found["security.protocol"] = f"{kind}{'SSL' if tls == 'true' else 'PLAINTEXT'}"
    return found


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    given, at, hosts = parts.netloc.rpartition("@")
    if not at:
        return url
    return parts._replace(netloc=f"{given.partition(':')[0]}@{hosts}").geturl()
