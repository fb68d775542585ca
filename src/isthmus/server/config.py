"""Settings of a server, with their units: from a file, the environment and the command line.

The command line wins over the environment, and that over the file. Names that do not exist are refused, so that a
setting that was mistyped is not one that is silently not there.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from isthmus.errors import InvalidArgument
from isthmus.limits import (
    CONFIG_BYTES_MAX,
    CONNECTIONS_MAX,
    CONNECTIONS_PER_HOST_MAX,
    DRAIN_MS,
    IDLE_MS,
    SEGMENT_BYTES_SERVER,
)

LOOPBACK: Final = "127.0.0.1"
DIRECTORY: Final = "./isthmus-data"

PORTS: Final = {"native": 8320, "kafka": 9092, "amqp": 5672, "sqs": 9324, "kinesis": 4567, "web": 8321}
"""The protocols that can be listened for, and where they are by default."""

VARIABLE: Final = "ISTHMUS_"

NOT_SETTINGS: Final = frozenset({"ISTHMUS_URL"})
"""Variables of that form that commands read for something else."""


class Address(Struct, frozen=True):
    """Where to listen, or where to be found."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a server is told; every field has its name in a file, on the command line, and in the environment.

    `native`, `kafka`, `amqp` and `web` are `[HOST:]PORT`; when none of them is given, all are opened at their usual
    ports. `amqp_product` and `amqp_version` are what AMQP clients are told that the server is. `advertise` is the
    `HOST:PORT` that Kafka clients are told to come back to. `idle_ms` and `drain_ms` are milliseconds, `segment_bytes`
    the size of new segment files.
    """

    directory: str = DIRECTORY
    native: str | None = None
    kafka: str | None = None
    amqp: str | None = None
    web: str | None = None
    sqs: str | None = None
    kinesis: str | None = None
    advertise: str | None = None
    amqp_product: str = "RabbitMQ"
    amqp_version: str = "4.3.0"
    insecure: bool = False
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    tls_client: Literal["optional", "required"] = "required"
    connections_max: int = CONNECTIONS_MAX
    connections_per_host_max: int = CONNECTIONS_PER_HOST_MAX
    idle_ms: int = IDLE_MS
    drain_ms: int = DRAIN_MS
    segment_bytes: int = SEGMENT_BYTES_SERVER

    def listeners(self) -> dict[str, Address]:
        """The protocols to open, each with its address.

        Raises:
            InvalidArgument: an address that cannot be read.
        """
        asked = {name: text for name in PORTS if (text := getattr(self, name)) is not None}
        if not asked:
            return {name: Address(LOOPBACK, port) for name, port in PORTS.items()}
        return {name: parse_address(text, name) for name, text in asked.items()}

    def advertised(self) -> Address | None:
        """Where Kafka clients are told to come back to; None: to the address that they came to.

        Raises:
            InvalidArgument: it cannot be read.
        """
        if self.advertise is None:
            return None
        found = parse_address(self.advertise, "advertise")
        if ":" not in self.advertise or not found.port:
            raise InvalidArgument("advertise", f"{self.advertise!r} is no HOST:PORT that clients could connect to")
        return found


def parse_address(text: str, argument: str) -> Address:
    """`[HOST:]PORT`, an IPv6 host in brackets; without a host it is loopback.

    Raises:
        InvalidArgument: it is nothing of the sort.
    """
    host, _, port = text.rpartition(":")
    if not text.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidArgument(argument, f"{text!r} is no [HOST:]PORT with a port up to 65535; 0 picks a free one")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidArgument(argument, f"{text!r}: write an IPv6 address in brackets, such as [::1]:{port}")
    if not host and ":" in text:
        raise InvalidArgument(argument, f"{text!r} names no host; write 0.0.0.0:{port} to listen on all addresses")
    return Address(host or LOOPBACK, int(port))


def load(
    file: Path | None = None, environment: Mapping[str, str] = os.environ, given: Mapping[str, object] | None = None
) -> Settings:
    """Put the settings together.

    Args:
        file: a TOML file.
        environment: where variables such as ISTHMUS_KAFKA are looked for.
        given: what the command line said; None values were not said.

    Raises:
        InvalidArgument: the file cannot be read, or a setting does not exist or has a value that it cannot have.
    """
    settled = {} if file is None else _read(file)
    settled |= _from(environment)
    settled |= {name: value for name, value in (given or {}).items() if value is not None}
    return _converted(settled, "settings")


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidArgument("config", f"{file}: {error.strerror}") from error
    if len(content) > CONFIG_BYTES_MAX:
        raise InvalidArgument("config", f"{file} is larger than {CONFIG_BYTES_MAX} bytes; is it a configuration file?")
    try:
        found = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument("config", f"{file} is no TOML: {error}") from error
    _check_names(found, str(file))
    _converted(found, str(file), strict=True)
    return found


def _from(environment: Mapping[str, str]) -> dict[str, object]:
    """Settings among the variables. Others of the same form may belong to something else, and are let be."""
    names = {f"{VARIABLE}{name.upper()}": name for name in Settings.__struct_fields__}
    return {names[key]: value for key, value in environment.items() if key in names and key not in NOT_SETTINGS}


def _check_names(found: Mapping[str, object], where: str) -> None:
    for name in found:
        if name not in Settings.__struct_fields__:
            near = difflib.get_close_matches(name, Settings.__struct_fields__, 1, 0.0)
            raise InvalidArgument(name, f"{where} has no such setting to make; the nearest is {near[0]!r}")


def _converted(found: Mapping[str, object], where: str, *, strict: bool = False) -> Settings:
    try:
        return msgspec.convert(dict(found), Settings, strict=strict)
    except msgspec.ValidationError as error:
        raise InvalidArgument("config", f"{where}: {error}") from error
