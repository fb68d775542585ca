"""The codec against two others, in both directions: what kio and kafka-python write and read is what we write and read.

Of every message in every version that they have: they read what we wrote and find the same in every field, and what
they write of it has the same bytes. What they do not have, or do otherwise, is listed with its reason.
"""

import datetime as dt
import enum
import io
import random
import uuid
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Final

from kio.index import UnknownEntity, load_payload_module
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from isthmus.protocols.kafka.compiled import decoder, encoder
from isthmus.protocols.kafka.schema import Field, Layout, layouts
from support.kafka_messages import TAME, build

with warnings.catch_warnings():
    # It reads its own files in a way that Python wants to be rid of.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.protocol import admin, consumer, metadata, producer, sasl
    from kafka.protocol.api_message import ApiMessage

EACH: Final = 2
"""Messages of each version."""

ALL: Final = [
    (layout, version)
    for layout in layouts().values()
    if layout.api_key is not None
    for version in range(layout.versions[0], layout.versions[1] + 1)
]

# ---- kio ---------------------------------------------------------------------------------------------------------

KIO_HAS_NOT: Final = {
    (f"{verb}DelegationToken{kind}", 0)
    for verb in ("Create", "Renew", "Expire", "Describe")
    for kind in ("Request", "Response")
}
"""Kafka 4 has removed them, and we offer none of these APIs."""

KIO_READS_OTHERWISE: Final = {("ShareFetchResponse", 1), ("ShareFetchResponse", 2)}
"""It takes no records that are null; Kafka's definition says that they may be."""


def kio_class(layout: Layout, version: int) -> Any:  # noqa: ANN401 - a class of kio's
    key = layout.api_key or 0
    if layout.name.endswith("Request"):
        return getattr(load_payload_module(key, version, EntityType.request), layout.name)
    return getattr(load_payload_module(key, version, EntityType.response), layout.name)


def test_kio_has_every_message_but_those_that_kafka_removed() -> None:
    missing = set()

    for layout, version in ALL:
        try:
            kio_class(layout, version)
        except UnknownEntity:
            missing.add((layout.name, version))

    assert missing == KIO_HAS_NOT


def test_kio_reads_and_writes_the_same() -> None:
    rng = random.Random(1)

    for layout, version in ALL:
        if (layout.name, version) in KIO_HAS_NOT | KIO_READS_OTHERWISE:
            continue
        theirs = kio_class(layout, version)
        for ours, data in messages(layout, version, rng):
            read, _ = entity_reader(theirs)(data, 0)
            written = io.BytesIO()
            entity_writer(theirs)(written, read)

            assert_same(layout, version, ours, read)
            assert written.getvalue() == data, f"{layout.name} {version}: {ours}"


# ---- kafka-python ------------------------------------------------------------------------------------------------

PYTHON: Final[dict[str, Any]] = {
    each.__name__: each
    for module in (admin, consumer, metadata, producer, sasl)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, ApiMessage)
}

PYTHON_HAS_NOT: Final = {
    "AlterShareGroupOffsets": "share groups",
    "ConsumerGroupDescribe": "the newer groups",
    "ConsumerGroupHeartbeat": "the newer groups",
    "CreateDelegationToken": "tokens",
    "DeleteShareGroupOffsets": "share groups",
    "DescribeDelegationToken": "tokens",
    "DescribeShareGroupOffsets": "share groups",
    "ExpireDelegationToken": "tokens",
    "GetTelemetrySubscriptions": "telemetry",
    "PushTelemetry": "telemetry",
    "RenewDelegationToken": "tokens",
    "ShareAcknowledge": "share groups",
    "ShareFetch": "share groups",
    "ShareGroupDescribe": "share groups",
    "ShareGroupHeartbeat": "share groups",
    "UnregisterBroker": "what no client calls",
}
"""APIs that kafka-python knows nothing of: what they are for."""

PYTHON_READS_OTHERWISE: Final = {("ApiVersionsResponse", version) for version in range(1, 5)}
"""It reads version 0 first, for brokers that do not know the version that it asked in, and stops when that fits."""


def test_kafka_python_lacks_what_is_known_to_be_lacking() -> None:
    names = {layout.name for layout, _ in ALL}

    assert names - set(PYTHON) == {f"{name}{kind}" for name in PYTHON_HAS_NOT for kind in ("Request", "Response")}


def test_kafka_python_reads_and_writes_the_same() -> None:
    rng = random.Random(2)
    otherwise = set()

    for layout, version in ALL:
        theirs = PYTHON.get(layout.name)
        if theirs is None or (layout.name, version) in PYTHON_READS_OTHERWISE:
            continue
        for ours, data in messages(layout, version, rng):
            read = theirs.decode(data, version=version)
            read._header = None
            written = bytes(read.encode(version=version))

            assert_same(layout, version, ours, read)
            if written != data:
                otherwise.add((layout.name, version))
            again, end = decoder(layout.name, version)(written, 0, len(written))
            assert (again, end) == (ours, len(written)), f"{layout.name} {version}"

    assert otherwise == set()


# ---- what both need ----------------------------------------------------------------------------------------------


def messages(layout: Layout, version: int, rng: random.Random) -> Iterator[tuple[Any, bytes]]:
    for _ in range(EACH):
        message = build(layout, version, rng, TAME)
        parts: list[bytes] = []
        encoder(layout.name, version)(message, parts)
        yield message, b"".join(parts)


def assert_same(layout: Layout, version: int, ours: Any, theirs: Any) -> None:  # noqa: ANN401 - any two messages
    assert plain(layout.fields, version, ours) == plain(layout.fields, version, theirs), f"{layout.name} {version}"


def plain(fields: Iterable[Field], version: int, message: Any) -> dict[str, object]:  # noqa: ANN401 - any message
    """A message as texts, numbers and bytes, by the names of the layout."""
    return {
        field.name: value_of(field, version, getattr(message, name_in(message, field.name)))
        for field in fields
        if field.within(version)
    }


CALLED: Final = {
    "assignor": ("assignor_name",),
    "cluster_authorized_operations": ("authorized_operations",),
    "epoch": ("group_epoch",),
    "group": ("group_id",),
    "groups": ("group_ids",),
    "partition": ("partition_index",),
    "state": ("group_state",),
    "subscribed_topics": ("subscribed_topic_names",),
    "topic": ("topic_name",),
    "topic_authorized_operations": ("authorized_operations",),
    "topics": ("responses", "topic_partitions"),
}
"""Fields that have another name there: ours are shorter, and kafka-python's properties clash with its fields."""


def name_in(message: object, name: str) -> str:
    """What the others call a field; kio's lengths of time have no unit."""
    names = (name, name.removesuffix("_ms"), *CALLED.get(name, ()))
    found = next((each for each in names if hasattr(message, each)), None)
    assert found is not None, f"{type(message).__name__} has none of {names}"
    return found


def value_of(field: Field, version: int, value: Any) -> object:  # noqa: ANN401 - what a field may hold
    if value is None and field.type == "uuid":
        return bytes(16)
    if value is None:
        return None
    if field.is_array:
        return [one_of(field, version, each) for each in value]
    return one_of(field, version, value)


def one_of(field: Field, version: int, value: Any) -> object:  # noqa: ANN401 - as above
    match value:
        case _ if field.type == "struct":
            return plain(field.fields, version, value)
        case uuid.UUID():
            return value.bytes
        case dt.timedelta():
            return value // dt.timedelta(milliseconds=1)
        case dt.datetime():
            return round(value.timestamp() * 1000)
        case enum.Enum():
            return value.value
        case set():
            return int.from_bytes(sum(1 << bit for bit in value).to_bytes(4, "big"), "big", signed=True)
        case tuple():
            return b"".join(value)
        case memoryview() | bytearray():
            return bytes(value)
    return value
