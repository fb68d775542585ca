"""One tour of kafka-python through a broker; test_tours.py says what must come out."""

import sys
import threading
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
from watch import Watch, tell

bootstrap, topic, group, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
admin: Any = KafkaAdminClient(bootstrap_servers=bootstrap)
admin.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "86400000"})])
described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
retention = described["topic"][topic]["retention.ms"]["value"]

producer: Any = KafkaProducer(bootstrap_servers=bootstrap, compression_type="lz4", linger_ms=5)
sent = [producer.send(topic, b"v%d" % at, b"k%d" % (at % 10), headers=[("at", b"%d" % at)]) for at in range(count)]
for each in sent:
    each.get(30)
producer.close()

watch, stop = Watch(), threading.Event()


def consume(at: int) -> None:
    consumer: Any = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        heartbeat_interval_ms=300,
        session_timeout_ms=6000,
        fetch_max_wait_ms=200,
    )
    while not stop.is_set():
        for messages in consumer.poll(100).values():
            for message in messages:
                watch.take(message.key, message.value, dict(message.headers)["at"])
        watch.owned[at] = len(consumer.assignment())
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
offsets = admin.list_group_offsets(group)[group]
listed = [row["group_id"] for row in admin.list_groups()]
state = admin.describe_groups([group])[group]["group_state"]
admin.delete_groups([group])
admin.delete_topics([topic])
tell(
    client="kafka-python",
    retention=retention,
    shared=owned,
    consumed=consumed,
    ordered=watch.ordered,
    committed=sum(row.offset for row in offsets.values()),
    listed=group in listed,
    state=state,
    gone=topic not in admin.list_topics(),
)
admin.close()
