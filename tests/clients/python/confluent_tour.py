"""One tour of confluent-kafka (librdkafka) through a broker; test_tours.py says what must come out."""

import sys
import threading
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from watch import Watch, tell

bootstrap, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
admin = AdminClient({"bootstrap.servers": bootstrap})
for created in admin.create_topics([NewTopic(topic, 3, 1, config={"retention.ms": "86400000"})]).values():
    created.result(30)
resource = ConfigResource(ResourceType.TOPIC, topic)
retention = admin.describe_configs([resource])[resource].result(30)["retention.ms"].value

errors: list[Any] = []
producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "compression.type": "zstd"})
for at in range(count):
    producer.produce(
        topic,
        f"v{at}",
        f"k{at % 10}",
        headers={"at": str(at)},
        on_delivery=lambda error, _: error and errors.append(error),
    )
producer.flush(30)
if errors:
    sys.exit(f"not delivered: {errors[:3]}")

watch, stop = Watch(), threading.Event()


def consume(at: int) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 300,
            "session.timeout.ms": 6000,
            "fetch.wait.max.ms": 200,
            "partition.assignment.strategy": "cooperative-sticky",
        }
    )
    consumer.subscribe([topic])
    while not stop.is_set():
        message = consumer.poll(0.1)
        watch.owned[at] = len(consumer.assignment())
        if message is not None and message.error() is None:
            watch.take(message.key(), message.value(), dict(message.headers())["at"])
    consumer.close()


threads = [threading.Thread(target=consume, args=(at,)) for at in range(2)]
threads[0].start()
watch.until("all messages", lambda: watch.total >= count)
threads[1].start()
watch.until("shared partitions", watch.shared)
owned, consumed = sorted(watch.owned), watch.total
stop.set()
for thread in threads:
    thread.join()

rows = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(30)
partitions: list[TopicPartition] = rows.topic_partitions
listed = [each.group_id for each in admin.list_consumer_groups().result(30).valid]
state = admin.describe_consumer_groups([group])[group].result(30).state.name
admin.delete_consumer_groups([group])[group].result(30)
admin.delete_topics([topic])[topic].result(30)
tell(
    client="confluent-kafka",
    retention=retention,
    shared=owned,
    consumed=consumed,
    ordered=watch.ordered,
    committed=sum(row.offset for row in partitions),
    listed=group in listed,
    state=state,
    gone=topic not in admin.list_topics(timeout=30).topics,
)
