"""Every setting of a topic acts, or is kept and told so, or is refused by name: nothing is taken in silence."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from isthmus.definition import TopicConfig
from isthmus.errors import InvalidArgument
from isthmus.log import batch as batches
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.topic_configs import (
    BY_NAME,
    FOREVER,
    RETENTION_MS,
    SETTINGS,
    changed,
    check,
    fresh,
    values_of,
)
from isthmus.record import Record
from support.kafka import KafkaPeer, kafka_server

ACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cleanup.policy": ("compact", {"compact": True, "age_ms": None}),
    "retention.ms": ("60000", {"age_ms": 60_000}),
    "retention.bytes": ("1048576", {"size_bytes": 1_048_576}),
    "max.message.bytes": ("2000", {"record_bytes_max": 2_000}),
    "flush.messages": ("10000", {"level": "written"}),
    "compression.type": ("gzip", {"compression": "gzip"}),
    "min.compaction.lag.ms": ("5", {"compact_lag_ms": 5}),
    "max.compaction.lag.ms": ("60000", {"compact_lag_max_ms": 60_000}),
    "min.cleanable.dirty.ratio": ("0.25", {"compact_ratio": 0.25}),
    "delete.retention.ms": ("7", {"tombstone_ms": 7}),
    "message.timestamp.type": ("LogAppendTime", {"timestamps": "append"}),
    "message.timestamp.before.max.ms": ("1000", {"timestamp_before_ms": 1_000}),
    "message.timestamp.after.max.ms": ("1000", {"timestamp_after_ms": 1_000}),
}
"""A value of each setting that acts, and what becomes of a topic by it."""

KEPT = {
    "compression.gzip.level": "5",
    "compression.lz4.level": "12",
    "compression.zstd.level": "-5",
    "segment.bytes": "1048576",
    "segment.ms": "60000",
    "segment.jitter.ms": "10",
    "segment.index.bytes": "1024",
    "index.interval.bytes": "1024",
    "file.delete.delay.ms": "1",
    "preallocate": "true",
    "flush.ms": "1000",
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "true",
    "leader.replication.throttled.replicas": "*",
    "follower.replication.throttled.replicas": "0:1,1:1",
}
"""A value of each setting that means nothing here."""

DEFAULT_ONLY = {"remote.storage.enable": "true"}
"""Settings of which only the default can be, and a value that cannot."""


# ---- the table ------------------------------------------------------------------------------------------------------


def test_every_setting_is_of_one_kind_and_says_why() -> None:
    assert [setting.name for setting in SETTINGS if setting.get is not None] == list(ACTS)
    assert {setting.name for setting in SETTINGS if setting.get is None} == {*KEPT, *DEFAULT_ONLY}
    assert len(BY_NAME) == len(SETTINGS)
    assert all(len(setting.why) > 10 for setting in SETTINGS)


@pytest.mark.parametrize("name", ACTS)
def test_what_acts_changes_the_topic_is_reported_back_and_can_be_taken_back(name: str) -> None:
    value, wanted = ACTS[name]

    set_to = changed(fresh({}), {name: value})

    assert {field: getattr(set_to, field) for field in wanted} == wanted
    assert values_of(set_to)[name] == (str(FOREVER) if name == "flush.messages" else value)
    assert changed(set_to, {name: None}) == fresh({})


@pytest.mark.parametrize("name", KEPT)
def test_what_means_nothing_is_kept_reported_and_changes_nothing_else(name: str) -> None:
    base = fresh({})

    set_to = changed(base, {name: KEPT[name]})

    assert set_to.kept == ((name, KEPT[name]),)
    assert values_of(set_to) == {**values_of(base), name: KEPT[name]}
    assert changed(set_to, {name: None}) == base


@pytest.mark.parametrize("name", DEFAULT_ONLY)
def test_of_some_only_the_default_can_be(name: str) -> None:
    assert check(name, BY_NAME[name].default) == BY_NAME[name].default
    with pytest.raises(InvalidArgument, match=BY_NAME[name].why):
        check(name, DEFAULT_ONLY[name])


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_default_can_be_set_and_is_what_a_new_topic_has(setting: Any) -> None:  # noqa: ANN401 - its ids are made of it
    assert check(setting.name, setting.default) == setting.default
    assert values_of(fresh({}))[setting.name] == setting.default


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.msec", "1"),
        ("", "1"),
        ("retention.ms", "an hour"),
        ("retention.ms", ""),
        ("retention.ms", "-2"),
        ("retention.ms", "1.5"),
        ("retention.ms", str(2**63)),
        ("retention.bytes", "-2"),
        ("max.message.bytes", "0"),
        ("max.message.bytes", str(2**31)),
        ("flush.messages", "0"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "none"),
        ("cleanup.policy", "delete,none"),
        ("compression.type", "brotli"),
        ("compression.gzip.level", "10"),
        ("compression.lz4.level", "0"),
        ("compression.zstd.level", "23"),
        ("message.timestamp.type", "createtime"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("min.cleanable.dirty.ratio", "half"),
        ("min.cleanable.dirty.ratio", "nan"),
        ("preallocate", "yes"),
        ("min.insync.replicas", "0"),
        ("segment.bytes", str(2**31)),
        ("leader.replication.throttled.replicas", "x" * 256),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_the_settings_name(name: str, value: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(name, value)

    assert caught.value.argument == name


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("retention.ms", " 60000 ", "60000"),
        ("retention.ms", "-1", "-1"),
        ("preallocate", "TRUE", "true"),
        ("cleanup.policy", "compact, delete", "compact,delete"),
        ("cleanup.policy", "delete,delete", "delete"),
    ],
)
def test_a_value_is_kept_in_one_way_of_writing(name: str, value: str, kept: str) -> None:
    assert check(name, value) == kept


@pytest.mark.parametrize("policy", ["delete", "compact", "compact,delete", "delete,compact"])
def test_policies_and_retention_go_together_in_every_order(policy: str) -> None:
    config = fresh({"cleanup.policy": policy, "retention.ms": "1000"})

    told = values_of(config)

    assert set(told["cleanup.policy"].split(",")) == set(policy.split(","))
    assert told["retention.ms"] == "1000"
    assert config.age_ms == (1_000 if "delete" in policy else None)
    assert changed(config, {"cleanup.policy": "delete"}).age_ms == 1_000


def test_a_bound_that_comes_later_acts_on_a_topic_that_compacts_and_deletes() -> None:
    unbounded = fresh({"cleanup.policy": "compact,delete", "retention.ms": "-1"})

    bounded = changed(unbounded, {"retention.ms": "1000"})

    assert (unbounded.compact, unbounded.age_ms, unbounded.size_bytes) == (True, None, None)
    assert values_of(unbounded)["cleanup.policy"] == "compact,delete"
    assert (bounded.compact, bounded.age_ms, bounded.kept) == (True, 1_000, ())


def test_what_the_library_changed_is_what_is_reported() -> None:
    compacted = fresh({"cleanup.policy": "compact", "retention.ms": "1000"})

    told = values_of(msgspec.structs.replace(compacted, compact=False, age_ms=5))

    assert (told["cleanup.policy"], told["retention.ms"]) == ("delete", "5")


def test_a_new_topic_of_kafkas_keeps_a_week_and_one_of_the_library_what_it_says() -> None:
    assert fresh({}).age_ms == RETENTION_MS
    assert values_of(TopicConfig())["retention.ms"] == "-1"


def test_what_kafka_has_no_name_for_stays() -> None:
    base = TopicConfig(consumed=True, floor_ms=5, codec="protobuf", key_field="id")

    set_to = changed(base, {"retention.ms": "1000"})
    replaced = fresh({}, base)

    for config in (set_to, replaced):
        assert (config.consumed, config.floor_ms, config.codec, config.key_field) == (True, 5, "protobuf", "id")


def test_a_setting_that_there_is_not_cannot_be_put_back_either() -> None:
    with pytest.raises(InvalidArgument):
        changed(fresh({}), {"retention.msec": None})


# ---- what they do ---------------------------------------------------------------------------------------------------


async def produced(peer: KafkaPeer, batch: bytes, *settings: tuple[str, str]) -> Any:  # noqa: ANN401 - a row of an answer
    """A topic with these settings, and what it says to a batch."""
    row = m.CreateTopicsRequestTopic(
        "t", 1, 1, configs=tuple(m.CreateTopicsRequestTopicConfig(*each) for each in settings)
    )
    made = await peer.ask(19, 7, m.CreateTopicsRequest((row,)))
    assert made.topics[0].error_code == Code.NONE, made.topics[0].error_message
    data = m.ProduceRequestTopicData("t", partition_data=(m.ProduceRequestTopicDataPartitionData(0, batch),))
    answer = await peer.ask(0, 9, m.ProduceRequest(None, -1, 5_000, (data,)))
    return answer.responses[0].partition_responses[0]


async def read(peer: KafkaPeer) -> bytes:
    asked = m.FetchRequestTopic("t", partitions=(m.FetchRequestTopicPartition(0, partition_max_bytes=1_000_000),))
    answer = await peer.ask(1, 12, m.FetchRequest(max_wait_ms=0, min_bytes=0, topics=(asked,)))
    records = answer.responses[0].partitions[0].records
    return records if isinstance(records, bytes) else b"".join(records)


def batch(*, size: int = 10, key: bytes | None = b"k", at_ms: int = -1, now_ms: int = 0) -> bytes:
    return batches.encode([Record(b"x" * size, key, timestamp_ms=at_ms)], now_ms=now_ms)


REFUSALS: list[tuple[tuple[str, str], Callable[[int], bytes], Code]] = [
    (("max.message.bytes", "2000"), lambda now_ms: batch(size=2_000, now_ms=now_ms), Code.MESSAGE_TOO_LARGE),
    (("cleanup.policy", "compact"), lambda now_ms: batch(key=None, now_ms=now_ms), Code.INVALID_RECORD),
    (("message.timestamp.before.max.ms", "1000"), lambda now_ms: batch(at_ms=now_ms - 60_000), Code.INVALID_TIMESTAMP),
    (("message.timestamp.after.max.ms", "1000"), lambda now_ms: batch(at_ms=now_ms + 60_000), Code.INVALID_TIMESTAMP),
]


@pytest.mark.parametrize(("setting", "make", "code"), REFUSALS, ids=[row[0][0] for row in REFUSALS])
async def test_what_a_setting_forbids_is_refused_and_without_it_taken(
    setting: tuple[str, str], make: Callable[[int], bytes], code: Code
) -> None:
    async with kafka_server() as server, kafka_server() as other:
        data = make(server.broker.clock.now_ms())

        refused = await produced(await server.connect(), data, setting)
        taken = await produced(await other.connect(), data)

        assert (refused.error_code, taken.error_code) == (code, Code.NONE)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd", "uncompressed"])
async def test_batches_are_stored_in_the_codec_of_their_topic(codec: str) -> None:
    async with kafka_server() as server:
        peer = await server.connect()

        row = await produced(peer, batch(size=1_000), ("compression.type", codec))

        assert row.error_code == Code.NONE
        assert batches.header(await read(peer)).compression == ("none" if codec == "uncompressed" else codec)


async def test_a_topic_of_append_times_stamps_and_says_so() -> None:
    async with kafka_server() as server:
        peer, before_ms = await server.connect(), server.broker.clock.now_ms()

        row = await produced(peer, batch(at_ms=5), ("message.timestamp.type", "LogAppendTime"))

        (record,) = batches.decode(await read(peer))
        assert row.log_append_time_ms == record.timestamp_ms >= before_ms
