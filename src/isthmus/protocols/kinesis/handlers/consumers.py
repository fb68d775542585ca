"""The actions on consumers with a fan-out of their own: register, describe, list, deregister and subscribe.

A subscription pushes what is there, and a sign of life every few seconds, for five minutes; its place is the client's.
"""

import re
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from isthmus.errors import IsthmusError
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.kinesis import errors, event_stream, shapes
from isthmus.protocols.kinesis.cursor import Place
from isthmus.protocols.kinesis.errors import in_use, invalid, limited, missing, not_found
from isthmus.protocols.kinesis.handlers.caller import Caller, Found, check_name
from isthmus.protocols.kinesis.handlers.records import GET_MAX, behind_ms, has_ended, read, record_shown, start_of
from isthmus.protocols.kinesis.handlers.shards import children_of
from isthmus.protocols.kinesis.shards import Consumer

CONSUMERS_MAX: Final = 20
SUBSCRIBED_MS: Final = 300_000
LIFE_MS: Final = 5_000
"""How long nothing is said at most; also how soon after one subscription the next may take over."""

ARN: Final = re.compile(r"(arn:.{1,1024}:stream/[^/]+)/consumer/([^:]+):([0-9]{1,12})", re.ASCII)


# ---- who there is -------------------------------------------------------------------------------------------------


async def register_stream_consumer(caller: Caller, asked: shapes.RegisterStreamConsumer) -> shapes.RegisteredConsumer:
    """Make a consumer; it can subscribe when this is answered."""
    found = await caller.find(shapes.OnStream(stream_arn=asked.stream_arn))
    name = check_name(asked.consumer_name, "consumerName")
    known = found.own.consumers
    if any(each.name == name for each in known):
        raise in_use(f"Consumer {name} under stream {found.name} already exists for account {caller.account}.")
    if len(known) >= CONSUMERS_MAX:
        raise limited(f"Stream {found.name} has {CONSUMERS_MAX} consumers, and no more can be registered.")
    consumer = Consumer(name, caller.now_ms // 1_000)
    await caller.keep(found, msgspec.structs.replace(found.own, consumers=(*known, consumer)))
    return shapes.RegisteredConsumer(consumer=_shown(caller, found, consumer))


async def deregister_stream_consumer(caller: Caller, asked: shapes.OnConsumer) -> None:
    """Forget a consumer; what it is subscribed to ends."""
    found, consumer = await _find(caller, asked)
    rest = tuple(each for each in found.own.consumers if each != consumer)
    await caller.keep(found, msgspec.structs.replace(found.own, consumers=rest))


async def describe_stream_consumer(caller: Caller, asked: shapes.OnConsumer) -> shapes.DescribedConsumer:
    """A consumer."""
    found, consumer = await _find(caller, asked)
    caller.check("describe", found.name)
    row = _shown(caller, found, consumer)
    return shapes.DescribedConsumer(
        consumer_description=shapes.ConsumerDescription(
            consumer_name=row.consumer_name,
            consumer_arn=row.consumer_arn,
            consumer_status=row.consumer_status,
            consumer_creation_timestamp=row.consumer_creation_timestamp,
            stream_arn=caller.arn_of(found.name),
        )
    )


async def list_stream_consumers(caller: Caller, asked: shapes.ListStreamConsumers) -> shapes.Consumers:
    """The consumers of a stream, which are few: all of them in one page."""
    found = await caller.find(shapes.OnStream(stream_arn=asked.stream_arn))
    caller.check("describe", found.name)
    return shapes.Consumers(consumers=[_shown(caller, found, each) for each in found.own.consumers])


async def _find(caller: Caller, asked: shapes.OnConsumer) -> tuple[Found, Consumer]:
    """The consumer of an ARN, or of a stream's ARN and a name."""
    if asked.consumer_arn is not None:
        return await _by_arn(caller, asked.consumer_arn)
    if asked.stream_arn is None or asked.consumer_name is None:
        raise invalid("Either ConsumerARN or both StreamARN and ConsumerName must be provided.")
    found = await caller.find(shapes.OnStream(stream_arn=asked.stream_arn))
    return found, _named(caller, found, asked.consumer_name)


async def _by_arn(caller: Caller, arn: str) -> tuple[Found, Consumer]:
    parts = ARN.fullmatch(arn)
    if parts is None:
        raise invalid(f"{arn[:256]} is no ARN of a consumer.")
    found = await caller.find(shapes.OnStream(stream_arn=parts[1]))
    consumer = _named(caller, found, parts[2])
    if consumer.created_s != int(parts[3]):
        raise _no_consumer(caller, found, parts[2])
    return found, consumer


def _named(caller: Caller, found: Found, name: str) -> Consumer:
    consumer = next((each for each in found.own.consumers if each.name == name), None)
    if consumer is None:
        raise _no_consumer(caller, found, name)
    return consumer


def _no_consumer(caller: Caller, found: Found, name: str) -> AwsError:
    return not_found(f"Consumer {name[:128]} under stream {found.name} not found for account {caller.account}.")


def _shown(caller: Caller, found: Found, consumer: Consumer) -> shapes.Consumer:
    return shapes.Consumer(
        consumer_name=consumer.name,
        consumer_arn=f"{caller.arn_of(found.name)}/consumer/{consumer.name}:{consumer.created_s}",
        consumer_status="ACTIVE",
        consumer_creation_timestamp=float(consumer.created_s),
    )


# ---- subscriptions ------------------------------------------------------------------------------------------------


async def subscribe_to_shard(caller: Caller, asked: shapes.SubscribeToShard) -> AsyncGenerator[bytes]:
    """Messages of an event stream from a place on; a later subscription of the same consumer to the shard ends it."""
    if asked.consumer_arn is None or asked.starting_position is None:
        raise missing("consumerARN" if asked.consumer_arn is None else "startingPosition")
    found, consumer = await _by_arn(caller, asked.consumer_arn)
    caller.check("read", found.name)
    index, position = caller.shard_of(found, asked.shard_id), asked.starting_position
    offset = await start_of(caller, found, index, position.type, position.sequence_number, position.timestamp)
    now_ms = caller.broker.clock.monotonic_ms()
    key = (found.topic.id, consumer.name, index)
    before = caller.subscribed.get(key)
    if before is not None and now_ms - before < LIFE_MS:
        raise in_use(f"Another active subscription exists for this consumer of {asked.shard_id}; wait a few seconds.")
    caller.subscribed[key] = now_ms
    return _messages(caller, consumer, Place(found.topic.id, index, offset, 0), now_ms)


async def _messages(caller: Caller, consumer: Consumer, place: Place, begun_ms: int) -> AsyncGenerator[bytes]:
    clock, key = caller.broker.clock, (place.topic, consumer.name, place.shard)
    until_ms = begun_ms + SUBSCRIBED_MS
    yield event_stream.event("initial-response", b"{}")
    try:
        while clock.monotonic_ms() < until_ms and caller.subscribed.get(key) == begun_ms:
            found = caller.identified(place.topic)
            _named(caller, found, consumer.name)
            records, after = await read(caller, found, place, GET_MAX)
            if not records and not has_ended(found, place.shard, after):
                wait_ms = min(until_ms, clock.monotonic_ms() + LIFE_MS)
                await caller.broker.polls.wait_any([(found.partition(place.shard), after)], wait_ms)
                found = caller.identified(place.topic)
                records, after = await read(caller, found, place, GET_MAX)
            ended = has_ended(found, place.shard, after)
            said = shapes.SubscribeToShardEvent(
                records=[record_shown(found, place.shard, record) for record in records],
                continuation_sequence_number=found.sequence(place.shard, after - 1),
                millis_behind_latest=behind_ms(caller, found, place.shard, after, records),
                child_shards=children_of(found, place.shard) if ended else None,
            )
            yield event_stream.event("SubscribeToShardEvent", msgspec.json.encode(said))
            place = place._replace(offset=after)
            if ended:
                break
    except IsthmusError as error:
        refused = errors.of(error)
        yield event_stream.failure(refused.code, msgspec.json.encode({"message": refused.message}))
    finally:
        if caller.subscribed.get(key) == begun_ms:
            del caller.subscribed[key]
