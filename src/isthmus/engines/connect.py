"""From an address to an engine, importing only what the address needs.

`memory://` is a store of its own, `memory://name` one that is shared by name in the process; `isthmus:///absolute/path`
and plain paths are data directories, `isthmus://host:port` is a server, `kafka://host:port` a Kafka cluster,
`amqp://host:port` a RabbitMQ broker; other schemes follow in later versions.
"""

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from isthmus.clock import Clock, SystemClock
from isthmus.engines.base import Engine
from isthmus.errors import DirectoryInUse, InvalidArgument, Unsupported

if TYPE_CHECKING:
    from isthmus.engines.local import BrokerOptions

LATER = {
    "sqs": "AWS SQS",
    "kinesis": "AWS Kinesis",
}

USE = "use memory://, isthmus:///path, isthmus://host:port, kafka://host:port, amqp://host:port or a path"


async def open_engine(
    url: str,
    *,
    clock: Clock | None = None,
    options: "BrokerOptions | None" = None,
    segment_bytes: int | None = None,
    read_only: bool = False,
) -> Engine:
    """The engine of an address, opened.

    Args:
        url: `memory://`, `memory://name`, `isthmus:///path`, a path, `isthmus://host:port`, `isthmuss://host:port`,
            `kafka://host:port`, `amqp://host:port` or `amqps://host:port`.
        clock: for tests; only for a store that nobody has opened yet.
        options: sizes of the store; only for one that nobody has opened yet.
        segment_bytes: the one of these sizes that users care about: of new segment files, 256 KiB to 1 GiB.
        read_only: look without taking the directory, also beside a process that holds it; through that one if it
            answers.

    Raises:
        InvalidArgument: not an address, or a size that cannot be. Unsupported: an engine that comes later.
        DirectoryInUse: another process holds it, and does not answer.
        NotAStore, NoAccess, FormatTooNew: see `Broker.open`.
    """
    from isthmus.engines import local

    if segment_bytes is not None:
        options = local.with_segments_of(segment_bytes, options)
    if "\0" in url:
        raise InvalidArgument("url", "holds a null byte; remove it")
    try:
        parts = urlsplit(url)
    except ValueError as error:  # brackets that hold no IPv6 address
        raise InvalidArgument("url", f"{url!r} cannot be read ({error}); {USE}") from error
    if parts.scheme in LATER:
        raise Unsupported(f"engine {parts.scheme}:// ({LATER[parts.scheme]})", "it comes in a later version")
    if parts.scheme == "kafka":
        return _kafka(url, clock)
    if parts.scheme in ("amqp", "amqps"):
        return _rabbitmq(url, clock)
    if parts.scheme == "memory":
        return await local.open_memory(url, parts.netloc + parts.path, clock, options)
    if parts.scheme in ("isthmus", "isthmuss"):
        if parts.netloc or parts.scheme == "isthmuss":
            return _server(parts, clock)
        if not parts.path or parts.query or parts.fragment:
            # Without a path it would be the working directory; with ? or # another one than what was written.
            raise InvalidArgument("url", f"{url!r} is no isthmus:///path without ? and #; a plain path may hold them")
        return await _directory(url, parts.path, clock, options, read_only=read_only)
    if parts.scheme and "://" in url:
        raise InvalidArgument("url", f"{parts.scheme}:// is no engine; {USE}")
    if not url:
        raise InvalidArgument("url", f"is empty; {USE}")
    return await _directory(url, url, clock, options, read_only=read_only)


async def _directory(
    url: str, path: str, clock: Clock | None, options: "BrokerOptions | None", *, read_only: bool
) -> Engine:
    """The store itself, or a client of the process that holds it; who only looks asks that process first."""
    from isthmus.engines import local

    if read_only and not local.is_ours(path):
        return await local.beside(url, path, clock) or await local.open_directory(
            url, path, clock, options, read_only=True
        )
    try:
        return await local.open_directory(url, path, clock, options, read_only=read_only)
    except DirectoryInUse:
        engine = await local.beside(url, path, clock)
        if engine is None:
            raise
        return engine


def _server(parts: SplitResult, clock: Clock | None) -> Engine:
    from isthmus.engines import native, native_address

    address = native_address.read(parts)
    return native.NativeEngine(address.shown, address.target, clock or SystemClock(), login=address.login)


def _kafka(url: str, clock: Clock | None) -> Engine:
    try:
        from isthmus.engines.kafka.engine import KafkaEngine
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise Unsupported("kafka:// needs the confluent-kafka package", "pip install 'isthmus[kafka]'") from error
    return KafkaEngine(url, clock)


def _rabbitmq(url: str, clock: Clock | None) -> Engine:
    try:
        from isthmus.engines.rabbitmq.engine import RabbitEngine
    except ModuleNotFoundError as error:
        if error.name not in ("aio_pika", "aiormq", "pamqp"):
            raise
        raise Unsupported("amqp:// needs the aio-pika package", "pip install 'isthmus[amqp]'") from error
    return RabbitEngine(url, clock)
