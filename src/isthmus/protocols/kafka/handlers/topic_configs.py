"""The settings of a topic as Kafka names them: what each means for a `TopicConfig`, and back.

The table is the rule, also for the documentation: a setting acts, or is kept to be reported because it has no meaning
here, or is refused. Nothing is taken and then ignored in silence, and nothing here asks the broker.
"""

from collections.abc import Callable, Mapping
from typing import Final, cast

import msgspec
from msgspec import Struct

from isthmus.definition import Compression, TopicConfig
from isthmus.errors import InvalidArgument
from isthmus.limits import NAME_BYTES_MAX, RECORD_BYTES_CEILING, RECORD_BYTES_MAX

BOOLEAN, STRING, INT, LONG, DOUBLE, LIST = 1, 2, 3, 5, 6, 7
"""Types of settings, as DescribeConfigs numbers them."""

FOREVER: Final = 2**63 - 1
RETENTION_MS: Final = 604_800_000
NO_LIMIT: Final = -1

Values = Mapping[str, str]
"""Every setting of the table, by name."""


class Setting(Struct, frozen=True, kw_only=True):
    """One setting.

    `get` gives its value from a topic's configuration; without it the setting has no meaning here and what was said is
    kept. `words` are the values that can be, `least` and `most` bound a number. `why` says what it does, or why it
    does nothing.
    """

    name: str
    kind: int
    default: str
    why: str
    get: Callable[[TopicConfig], str] | None = None
    words: tuple[str, ...] = ()
    least: int = NO_LIMIT
    most: int = FOREVER


BOTH: Final = "compact,delete"
_UNBOUNDED: Final = ("cleanup.policy", BOTH)
"""Kept of a topic that compacts and would delete, had it a bound: bounds that come later must act."""


def _policy(config: TopicConfig) -> str:
    if not config.compact:
        return "delete"
    if config.age_ms is None and config.size_bytes is None and _UNBOUNDED not in config.kept:
        return "compact"
    return BOTH


def _bound(bound: int | None) -> str:
    return str(FOREVER if bound is None else bound)


def _limit(limit: int | None) -> str:
    return str(NO_LIMIT if limit is None else limit)


_ONE_FILE: Final = "all topics share one journal; the segment size is an option of the store"
_ONE_NODE: Final = "there is one node, and what is acknowledged is on its disk"
_NO_TIMER: Final = "nothing is flushed by time; flush.messages says how durable a topic is"
_LEVEL: Final = "codecs are used at the levels that their libraries think right"

SETTINGS: Final = (
    # ---- these act
    Setting(
        name="cleanup.policy",
        kind=LIST,
        default="delete",
        why="delete by age and size, or keep the newest record of every key",
        get=_policy,
        words=("delete", "compact"),
    ),
    Setting(
        name="retention.ms",
        kind=LONG,
        default=str(RETENTION_MS),
        why="age at which records go; -1 keeps them",
        get=lambda config: _limit(config.age_ms),
    ),
    Setting(
        name="retention.bytes",
        kind=LONG,
        default=str(NO_LIMIT),
        why="size of a partition above which its oldest records go; -1 is no limit",
        get=lambda config: _limit(config.size_bytes),
    ),
    Setting(
        name="max.message.bytes",
        kind=INT,
        default=str(RECORD_BYTES_MAX),
        why="the largest batch that is taken",
        get=lambda config: str(config.record_bytes_max),
        least=1,
        most=RECORD_BYTES_CEILING,
    ),
    Setting(
        name="flush.messages",
        kind=LONG,
        default="1",
        why="1 is level fsync: on disk before it is acknowledged; more is level written: survives the process only",
        get=lambda config: "1" if config.level == "fsync" else str(FOREVER),
        least=1,
    ),
    Setting(
        name="compression.type",
        kind=STRING,
        default="producer",
        why="the codec that batches are stored in; producer keeps them as they come",
        get=lambda config: "uncompressed" if config.compression == "none" else config.compression,
        words=("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"),
    ),
    Setting(
        name="min.compaction.lag.ms",
        kind=LONG,
        default="0",
        why="age below which compaction leaves records alone",
        get=lambda config: str(config.compact_lag_ms),
        least=0,
    ),
    Setting(
        name="max.compaction.lag.ms",
        kind=LONG,
        default=str(FOREVER),
        why="age at which a record is looked at by compaction however little is new",
        get=lambda config: _bound(config.compact_lag_max_ms),
        least=1,
    ),
    Setting(
        name="min.cleanable.dirty.ratio",
        kind=DOUBLE,
        default="0.5",
        why="share of new bytes from which on a partition is compacted",
        get=lambda config: str(config.compact_ratio),
    ),
    Setting(
        name="delete.retention.ms",
        kind=LONG,
        default="86400000",
        why="how long compaction keeps a record without a value",
        get=lambda config: str(config.tombstone_ms),
        least=0,
    ),
    Setting(
        name="message.timestamp.type",
        kind=STRING,
        default="CreateTime",
        why="whose time a record bears: its producer's, or that of its append",
        get=lambda config: "LogAppendTime" if config.timestamps == "append" else "CreateTime",
        words=("CreateTime", "LogAppendTime"),
    ),
    Setting(
        name="message.timestamp.before.max.ms",
        kind=LONG,
        default=str(FOREVER),
        why="how far in the past a producer's timestamp may lie",
        get=lambda config: _bound(config.timestamp_before_ms),
        least=0,
    ),
    Setting(
        name="message.timestamp.after.max.ms",
        kind=LONG,
        default=str(FOREVER),
        why="how far in the future a producer's timestamp may lie; Kafka's default is an hour",
        get=lambda config: _bound(config.timestamp_after_ms),
        least=0,
    ),
    # ---- these are kept to be reported
    Setting(name="compression.gzip.level", kind=INT, default="-1", why=_LEVEL, most=9),
    Setting(name="compression.lz4.level", kind=INT, default="9", why=_LEVEL, least=1, most=17),
    Setting(name="compression.zstd.level", kind=INT, default="3", why=_LEVEL, least=-131_072, most=22),
    Setting(name="segment.bytes", kind=INT, default="1073741824", why=_ONE_FILE, least=1),
    Setting(name="segment.ms", kind=LONG, default=str(RETENTION_MS), why=_ONE_FILE, least=1),
    Setting(name="segment.jitter.ms", kind=LONG, default="0", why=_ONE_FILE, least=0),
    Setting(name="segment.index.bytes", kind=INT, default="10485760", why=_ONE_FILE, least=4),
    Setting(name="index.interval.bytes", kind=INT, default="4096", why=_ONE_FILE, least=0),
    Setting(name="file.delete.delay.ms", kind=LONG, default="60000", why=_ONE_FILE, least=0),
    Setting(name="preallocate", kind=BOOLEAN, default="false", why=_ONE_FILE, words=("true", "false")),
    Setting(name="flush.ms", kind=LONG, default=str(FOREVER), why=_NO_TIMER, least=0),
    Setting(name="min.insync.replicas", kind=INT, default="1", why=_ONE_NODE, least=1),
    Setting(name="unclean.leader.election.enable", kind=BOOLEAN, default="false", why=_ONE_NODE,
            words=("true", "false")),
    Setting(name="leader.replication.throttled.replicas", kind=LIST, default="", why=_ONE_NODE),
    Setting(name="follower.replication.throttled.replicas", kind=LIST, default="", why=_ONE_NODE),
    # ---- of these only the default can be
    Setting(name="remote.storage.enable", kind=BOOLEAN, default="false", why="there is no second storage",
            words=("false",)),
)  # fmt: skip
"""All settings of a topic."""

BY_NAME: Final = {setting.name: setting for setting in SETTINGS}


# ---- checking --------------------------------------------------------------------------------------------------------


def check(name: str, value: str) -> str:
    """A value as it is kept.

    Raises:
        InvalidArgument: there is no such setting, or it cannot have that value.
    """
    setting = BY_NAME.get(name)
    if setting is None:
        raise InvalidArgument(name, "is not a setting of topics here; docs/protocols/kafka.md lists those that are")
    if len(value.encode()) > NAME_BYTES_MAX:
        raise InvalidArgument(name, f"longer than {NAME_BYTES_MAX} bytes")
    if setting.kind in (INT, LONG):
        return str(_whole(setting, value))
    if setting.kind == DOUBLE:
        return _share(setting, value)
    given = [word.strip() for word in value.split(",")] if setting.kind == LIST else [value.strip()]
    if setting.kind == BOOLEAN:
        given = [given[0].lower()]
    for word in given:
        if setting.words and word not in setting.words:
            raise InvalidArgument(name, f"{value!r} is not of {', '.join(setting.words)}: {setting.why}")
    return ",".join(sorted(set(given), key=given.index))


def _whole(setting: Setting, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise InvalidArgument(setting.name, f"{value!r} is not a whole number") from None
    most = min(setting.most, 2**31 - 1) if setting.kind == INT else setting.most
    if not setting.least <= number <= most:
        raise InvalidArgument(setting.name, f"{number} is not within {setting.least} to {most}")
    return number


def _share(setting: Setting, value: str) -> str:
    try:
        inside = 0.0 <= float(value) <= 1.0
    except ValueError:
        inside = False
    if not inside:
        raise InvalidArgument(setting.name, f"{value!r} is not a number from 0 to 1")
    return value


# ---- from a topic and back -------------------------------------------------------------------------------------------


def values_of(config: TopicConfig) -> dict[str, str]:
    """All settings of a topic. Retention that a compacted topic does not use is as it was said."""
    kept = dict(config.kept)
    found = {}
    for setting in SETTINGS:
        if setting.get is None:
            found[setting.name] = kept.get(setting.name, setting.default)
        else:
            found[setting.name] = setting.get(config)
    if found["cleanup.policy"] == "compact":
        for name in ("retention.ms", "retention.bytes"):
            found[name] = kept.get(name, BY_NAME[name].default)
    return found


def changed(config: TopicConfig, changes: Mapping[str, str | None]) -> TopicConfig:
    """A topic's configuration with some settings changed; None puts one back to its default.

    Raises:
        InvalidArgument: the setting, and what is wrong with it.
    """
    values = values_of(config)
    for name, value in changes.items():
        if value is None and name not in BY_NAME:
            check(name, "")
        values[name] = BY_NAME[name].default if value is None else check(name, value)
    return _config_of(config, values)


def fresh(changes: Mapping[str, str | None], base: TopicConfig | None = None) -> TopicConfig:
    """The configuration with these settings and all others at their defaults; what Kafka has no name for is the base's.

    Raises:
        InvalidArgument: the setting, and what is wrong with it.
    """
    return changed(base or TopicConfig(), {**dict.fromkeys(BY_NAME), **changes})


def _config_of(base: TopicConfig, values: Values) -> TopicConfig:
    policy = values["cleanup.policy"].split(",")
    deletes = "delete" in policy
    meaningless = [setting.name for setting in SETTINGS if setting.get is None]
    if not deletes:
        meaningless += ["retention.ms", "retention.bytes"]
    age_ms = _maximum(values["retention.ms"]) if deletes else None
    size_bytes = _maximum(values["retention.bytes"]) if deletes else None
    kept = [(name, values[name]) for name in meaningless if values[name] != BY_NAME[name].default]
    if deletes and "compact" in policy and age_ms is None and size_bytes is None:
        kept.append(_UNBOUNDED)
    return msgspec.structs.replace(
        base,
        compact="compact" in policy,
        age_ms=age_ms,
        size_bytes=size_bytes,
        record_bytes_max=int(values["max.message.bytes"]),
        level="fsync" if values["flush.messages"] == "1" else "written",
        compact_lag_ms=int(values["min.compaction.lag.ms"]),
        compact_lag_max_ms=_bounded(values["max.compaction.lag.ms"]),
        compact_ratio=float(values["min.cleanable.dirty.ratio"]),
        tombstone_ms=int(values["delete.retention.ms"]),
        timestamps="append" if values["message.timestamp.type"] == "LogAppendTime" else "create",
        timestamp_before_ms=_bounded(values["message.timestamp.before.max.ms"]),
        timestamp_after_ms=_bounded(values["message.timestamp.after.max.ms"]),
        compression=_codec(values["compression.type"]),
        kept=tuple(kept),
    )


def _bounded(value: str) -> int | None:
    return None if value == str(FOREVER) else int(value)


def _codec(value: str) -> Compression:
    return cast("Compression", "none" if value == "uncompressed" else value)


def _maximum(value: str) -> int | None:
    return None if value == str(NO_LIMIT) else int(value)
