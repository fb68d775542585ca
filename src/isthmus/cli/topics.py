"""`isthmus ls`, `show`, `create`, `alter`, `rm`: streams and queues and how they are kept.

A stream is a topic that no queue owns; a queue comes with the topic that it owns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import msgspec

from isthmus.cli.base import Settings, command, confirmed, connected, pass_settings, run
from isthmus.cli.declare import (
    QUEUE_OPTIONS,
    TOPIC_OPTIONS,
    Asked,
    differences,
    options,
    queue_definitions,
    stream_definition,
)
from isthmus.cli.output import Output, counted, shown, size_text, span_text, time_text
from isthmus.definition import (
    QueueConfig,
    QueueDefinition,
    TopicConfig,
    TopicDefinition,
)
from isthmus.errors import InvalidArgument, UnknownQueue
from isthmus.views import GroupView, QueueView, TopicView

if TYPE_CHECKING:
    from isthmus.engines.base import Admin


# ---- ls ------------------------------------------------------------------------------------------------------------


@command("ls")
@click.option("--streams", "only", flag_value="streams", help="Streams only.")
@click.option("--queues", "only", flag_value="queues", help="Queues only.")
@pass_settings
def ls(settings: Settings, only: Literal["streams", "queues"] | None) -> None:
    """List streams and queues.

    --json answers {"streams": [...], "queues": [...]} with all that `show` shows.

    Example:
      isthmus --dir ./data ls
    """
    streams, queues = run(_listed(settings))
    out = settings.out
    if out.json:
        found = {"streams": streams, "queues": queues}
        out.document({only: found[only]} if only else found)
        return
    if only != "queues":
        _list_streams(streams, out)
    if only != "streams":
        _list_queues(queues, out)


async def _listed(settings: Settings) -> tuple[list[TopicView], list[QueueView]]:
    async with connected(settings) as engine:
        topics = await engine.admin.topics()
        return [topic for topic in topics if topic.queue is None], await engine.admin.queues()


def _list_streams(streams: Sequence[TopicView], out: Output) -> None:
    rows = [
        (
            topic.name,
            len(topic.partitions),
            sum(each.high_watermark - each.log_start for each in topic.partitions),
            size_text(sum(each.bytes for each in topic.partitions)),
            keeps(topic.config),
            topic.config.level,
            ", ".join((*topic.groups, *(f"{view} (queue)" for view in topic.views))) or "-",
        )
        for topic in streams
    ]
    columns = ("stream", ">partitions", ">offsets", ">size", "keeps", "durability", "readers")
    out.table(columns, rows)


def _list_queues(queues: Sequence[QueueView], out: Output) -> None:
    rows = [
        (
            queue.name,
            queue.ready,
            queue.leased,
            queue.delayed,
            queue.acked,
            queue.dead,
            queue.view_of or "-",
            queue.config.dead or "-",
        )
        for queue in queues
    ]
    out.table(("queue", ">ready", ">leased", ">delayed", ">acked", ">dead", "view of", "dead letters"), rows)


def keeps(config: TopicConfig) -> str:
    """How long events stay, in a few words."""
    parts = ["newest per key"] if config.compact else []
    parts += ["until consumed"] if config.consumed else []
    parts += [span_text(config.age_ms)] if config.age_ms is not None else []
    parts += [size_text(config.size_bytes)] if config.size_bytes is not None else []
    return ", ".join(parts) or "for ever"


# ---- show ----------------------------------------------------------------------------------------------------------


@command("show")
@click.argument("name")
@pass_settings
def show(settings: Settings, name: str) -> None:
    """One stream or queue: its settings, partitions and readers.

    --json answers {"topic": {...}, "queue": {...} or null, "groups": [...]}.

    Example:
      isthmus --dir ./data show orders
    """
    topic, queue, groups = run(_shown(settings, name))
    out = settings.out
    if out.json:
        out.document({"topic": topic, "queue": queue, "groups": groups})
        return
    out.table(("setting", "value"), [*_topic_rows(topic), *(_queue_rows(queue) if queue is not None else ())])
    out.table(
        (">partition", ">log start", ">high watermark", ">offsets", ">size"),
        [
            (
                each.index,
                each.log_start,
                each.high_watermark,
                each.high_watermark - each.log_start,
                size_text(each.bytes),
            )
            for each in topic.partitions
        ],
    )
    if queue is not None:
        out.table(("events of the queue", ">count"), _count_rows(queue))
    readers = [*_group_rows(groups, name), *((view, "queue", "-", "-") for view in topic.views)]
    if readers:
        out.table(("reader", "kind", "state", ">lag"), readers)


async def _shown(settings: Settings, name: str) -> tuple[TopicView, QueueView | None, list[GroupView]]:
    async with connected(settings) as engine:
        admin = engine.admin
        topic = await admin.topic(name)
        queue = await admin.queue(name) if topic.queue is not None else None
        return topic, queue, await admin.groups(name)


def _topic_rows(topic: TopicView) -> list[tuple[str, object]]:
    config = topic.config
    rows: list[tuple[str, object]] = [
        ("name", topic.name),
        ("kind", "queue" if topic.queue is not None else "stream"),
        ("durability", f"{config.level} ({_LEVELS[config.level]})"),
        ("keeps", keeps(config)),
        ("never removed before", span_text(config.floor_ms)),
        ("always removed after", span_text(config.ceiling_ms)),
        ("a reader is silent after", span_text(config.silent_ms)),
        ("key", config.key_field),
        ("placement of keys", topic.placement),
        ("event types", ", ".join(config.event_types) or None),
        ("codec", config.codec),
        ("largest event", size_text(config.record_bytes_max)),
        ("compression", config.compression if config.compression != "producer" else "as producers send"),
        ("timestamps", "of append" if config.timestamps == "append" else "of producers"),
        ("deletions stay", span_text(config.tombstone_ms) if config.compact else None),
        ("remembers ids for", span_text(config.dedup_ms)),
        ("lives", _LIVES[topic.lifetime]),
        ("made", time_text(topic.created_ms)),
        ("id", f"{topic.id} ({topic.uuid})"),
    ]
    unset = ("never removed before", "always removed after", "key", "event types", "deletions stay")
    return [row for row in rows if row[0] not in unset or row[1] not in (None, "-")]


_LEVELS: Final = {
    "fsync": "acknowledged means on disk",
    "written": "survives the process, not the power",
}
_LIVES: Final = {
    "durable": "until removed",
    "process": "as long as the broker runs",
    "session": "as long as its session",
}


def _queue_rows(queue: QueueView) -> list[tuple[str, object]]:
    config, backoff = queue.config, queue.config.backoff
    return [
        ("view of", queue.view_of),
        ("lease", span_text(config.lease_ms) if config.lease_ms is not None else "as long as its session"),
        ("fails at most", _times(config.failed_max)),
        ("is handed out at most", _times(config.acquired_max)),
        ("comes again after", f"{span_text(backoff.first_ms)}, doubling up to {span_text(backoff.max_ms)}"),
        ("dead letters go to", config.dead),
        ("keeps the order of keys", config.ordered),
        ("levels of priority", config.priorities),
        ("one consumer at a time", config.single),
        ("expires after", span_text(config.ttl_ms)),
        *_bound_rows(config),
        *_policy_rows(queue),
    ]


def _bound_rows(config: QueueConfig) -> list[tuple[str, object]]:
    """How much may wait, where there is a bound, and where the dead go by an exchange."""
    rows: list[tuple[str, object]] = []
    if config.max_events is not None:
        rows.append(("events that may wait", shown(config.max_events)))
    if config.max_bytes is not None:
        rows.append(("bytes that may wait", shown(config.max_bytes)))
    if rows:
        rows.append(("beyond that", {"refuse": "refused", "drop": "the oldest goes"}.get(config.overflow, "refused")))
    if config.dead_exchange is not None:
        rows.append(("dead letters by exchange", config.dead_exchange or "the default one"))
    return rows


def _policy_rows(queue: QueueView) -> list[tuple[str, object]]:
    """What a policy makes of it: its name, and each setting that is not as it was declared."""
    if queue.effective is None:
        return []
    changed = differences(queue.config, queue.effective)
    told = ", ".join(f"{name} {now}" for name, (_, now) in changed.items())
    return [("policy", f"{queue.policy}: {told}" if told else queue.policy)]


def _times(count: int | None) -> str:
    return "without limit" if count is None else f"{count} times"


def _count_rows(queue: QueueView) -> list[tuple[str, object]]:
    names = "enqueued ready leased delayed acked rejected dead expired purged trimmed dropped".split()
    rows: list[tuple[str, object]] = [(name, getattr(queue, name)) for name in names]
    if queue.oldest_ready_ms is not None:
        rows.append(("oldest ready", time_text(queue.oldest_ready_ms)))
    return rows


def _group_rows(groups: Sequence[GroupView], topic: str) -> list[tuple[str, str, str, str]]:
    return [
        (
            group.name,
            "group",
            f"{group.state}, silent" if group.silent else group.state,
            shown(sum(row.lag for row in group.partitions if row.topic == topic)),
        )
        for group in groups
    ]


# ---- create --------------------------------------------------------------------------------------------------------


@command("create")
@click.argument("name")
@click.option("--queue", "as_queue", is_flag=True, help="A queue: each event is worked on once and then removed.")
@click.option("--compact", is_flag=True, help="Stream: keep the newest event of each key, for ever.")
@click.option(
    "--of", "view_of", metavar="STREAM", help="Queue: also work on the events of this stream, which stay there."
)
@click.option(
    "--from", "view_start", metavar="WHERE", help="With --of: earliest, latest or a time. [default: earliest]"
)
@options(TOPIC_OPTIONS, QUEUE_OPTIONS)
@pass_settings
def create(
    settings: Settings,
    /,
    name: str,
    *,
    as_queue: bool,
    compact: bool,
    view_of: str | None,
    view_start: str | None,
    **given: Any,
) -> None:
    """Make a stream, or with --queue a queue and its dead letters.

    A data directory that is not there is made. Durations are written as 500ms, 30s, 5m, 12h, 7d, sizes as 64KB, 10MiB.

    Examples:
      isthmus --dir ./data create orders --partitions 6 --retain 30d --key order_id
      isthmus --dir ./data create customers --compact --key customer_id
      isthmus --dir ./data create invoices --queue --lease 1m --attempts 3
      isthmus --dir ./data create picking --of orders
    """
    asked = Asked(**given)
    made: list[TopicDefinition | QueueDefinition]
    if as_queue or view_of is not None:
        if compact:
            raise InvalidArgument("--compact", "is for streams: a queue removes what is acknowledged")
        made = queue_definitions(name, asked, view_of, view_start)
    else:
        if view_start is not None:
            raise InvalidArgument("--from", "goes with --of")
        asked.refuse_queue_options(name)
        made = [stream_definition(name, asked, compact=compact)]
    run(_create(settings, made))
    if settings.json:
        settings.out.document({"created": [each.name for each in made]})
    else:
        settings.out.text(f"made {' and '.join(_described(each) for each in made)}")


def _described(made: TopicDefinition | QueueDefinition) -> str:
    kind = "queue" if isinstance(made, QueueDefinition) else "stream"
    config = made.topic if isinstance(made, QueueDefinition) else made.config
    return f"{kind} {made.name} ({config.level}, {counted(made.partitions, 'partition')})"


async def _create(settings: Settings, made: Sequence[TopicDefinition | QueueDefinition]) -> None:
    async with connected(settings, write=True, create=True) as engine:
        *before, last = made
        for each in before:
            # Dead letters may be shared, or left from a queue of the same name.
            if each.name not in {queue.name for queue in await engine.admin.queues()}:
                await engine.admin.create(each)
        await engine.admin.create(last)


# ---- alter ---------------------------------------------------------------------------------------------------------


@command("alter")
@click.argument("name")
@options(TOPIC_OPTIONS, QUEUE_OPTIONS)
@pass_settings
def alter(settings: Settings, /, name: str, **given: Any) -> None:
    """Change settings of a stream or queue; what is not named stays as it is.

    Partitions can only be added, and keys then go to other partitions. `none` takes a limit away.

    Example:
      isthmus --dir ./data alter orders --retain 90d --retain-size none
    """
    asked = Asked(**given)
    if asked == Asked():
        raise click.UsageError("say what to change, such as --retain 30d")
    changes = run(_alter(settings, name, asked))
    if settings.json:
        settings.out.document({"altered": name, "changes": changes})
    elif changes:
        settings.out.table(("setting", "was", "is"), [(key, str(was), str(now)) for key, (was, now) in changes.items()])
    else:
        settings.out.text(f"{name} is already like that")


async def _alter(settings: Settings, name: str, asked: Asked) -> dict[str, tuple[Any, Any]]:
    async with connected(settings, write=True) as engine:
        before = await _definition(engine.admin, name)
        after = _altered(before, asked)
        changes = differences(before, after)
        if changes:
            await engine.admin.alter(after)
        return changes


async def _definition(admin: "Admin", name: str) -> TopicDefinition | QueueDefinition:
    """What it is now, as it would be asked for."""
    topic = await admin.topic(name)
    if topic.queue is None:
        return TopicDefinition(
            name=name,
            namespace=topic.namespace,
            partitions=len(topic.partitions),
            placement=topic.placement,  # type: ignore[arg-type]  # views hold it as plain text
            config=topic.config,
            lifetime=topic.lifetime,  # type: ignore[arg-type]  # as above
        )
    queue = await admin.queue(topic.queue)
    return QueueDefinition(
        name=name,
        namespace=topic.namespace,
        config=queue.config,
        topic=topic.config,
        partitions=len(topic.partitions),
        view_of=queue.view_of,
        lifetime=queue.lifetime,  # type: ignore[arg-type]  # as above
    )


def _altered(before: TopicDefinition | QueueDefinition, asked: Asked) -> TopicDefinition | QueueDefinition:
    partitions = asked.partitions or before.partitions
    if isinstance(before, QueueDefinition):
        return msgspec.structs.replace(
            before, config=asked.queue(before.config), topic=asked.topic(before.topic), partitions=partitions
        )
    asked.refuse_queue_options(before.name)
    return msgspec.structs.replace(before, config=asked.topic(before.config), partitions=partitions)


# ---- rm ------------------------------------------------------------------------------------------------------------


@command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def rm(settings: Settings, names: tuple[str, ...], *, yes: bool) -> None:
    """Remove streams or queues with all their events. This cannot be undone.

    Example:
      isthmus --dir ./data rm old-orders --yes
    """
    confirmed(f"Remove {', '.join(names)} with all events?", yes=yes)
    run(_remove(settings, names))
    if settings.json:
        settings.out.document({"removed": list(names)})
    else:
        settings.out.text(f"removed {', '.join(names)}")


async def _remove(settings: Settings, names: Sequence[str]) -> None:
    async with connected(settings, write=True) as engine:
        for name in names:
            await engine.admin.topic(name)  # all are known before the first goes
        for name in names:
            await engine.admin.remove(name)


async def queue_named(admin: "Admin", name: str) -> QueueView:
    """A queue; what is a stream is said to be one.

    Raises:
        InvalidArgument: a stream of that name. UnknownQueue: nothing of that name.
    """
    try:
        return await admin.queue(name)
    except UnknownQueue:
        if name in {topic.name for topic in await admin.topics()}:
            raise InvalidArgument("queue", f"{name!r} is a stream; `isthmus tail {name}` shows its events") from None
        raise
