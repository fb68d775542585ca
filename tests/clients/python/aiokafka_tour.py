"""One tour of aiokafka through a broker; test_tours.py says what must come out."""

import asyncio
import sys
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from watch import Watch, tell

bootstrap, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


async def consume(watch: Watch, stop: asyncio.Event, at: int) -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        heartbeat_interval_ms=300,
        session_timeout_ms=6000,
        fetch_max_wait_ms=200,
    )
    await consumer.start()
    try:
        while not stop.is_set():
            for messages in (await consumer.getmany(timeout_ms=100)).values():
                for message in messages:
                    watch.take(message.key, message.value, dict(message.headers)["at"])
            watch.owned[at] = len(consumer.assignment())
    finally:
        await consumer.stop()


async def until(watch: Watch, what: str, condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(watch.until, what, condition)


async def main() -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "86400000"})])
    described = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    retention = next(row[1] for row in described[0].resources[0][4] if row[0] == "retention.ms")

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="gzip")
    await producer.start()
    sent = [
        await producer.send(topic, b"v%d" % at, b"k%d" % (at % 10), headers=[("at", b"%d" % at)]) for at in range(count)
    ]
    await asyncio.gather(*sent)
    await producer.stop()

    watch, stop = Watch(), asyncio.Event()
    tasks = [asyncio.create_task(consume(watch, stop, 0))]
    await until(watch, "all messages", lambda: watch.total >= count)
    tasks.append(asyncio.create_task(consume(watch, stop, 1)))
    await until(watch, "shared partitions", watch.shared)
    owned, consumed = sorted(watch.owned), watch.total
    stop.set()
    await asyncio.gather(*tasks)

    offsets = await admin.list_consumer_group_offsets(group, partitions=[TopicPartition(topic, at) for at in range(3)])
    listed = [row[0] for row in await admin.list_consumer_groups()]
    state = (await admin.describe_consumer_groups([group]))[0].groups[0][2]
    await admin.delete_topics([topic])
    tell(
        client="aiokafka",
        retention=retention,
        shared=owned,
        consumed=consumed,
        ordered=watch.ordered,
        committed=sum(row.offset for row in offsets.values()),
        listed=group in listed,
        state=state,
        gone=topic not in await admin.list_topics(),
    )
    await admin.close()


asyncio.run(main())
