// One tour of Apache Kafka's own Java client through a broker: administer, produce, consume as a group, share it,
// commit, clean up. Prints one JSON object; tests/clients/test_tours.py says what must be in it.

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Tour {
    static final Map<String, Integer> SEEN = new ConcurrentHashMap<>();
    static final AtomicInteger TOTAL = new AtomicInteger();
    static final AtomicBoolean ORDERED = new AtomicBoolean(true);
    static final AtomicBoolean STOP = new AtomicBoolean();
    static final AtomicInteger[] OWNED = {new AtomicInteger(), new AtomicInteger()};

    static void take(ConsumerRecord<String, String> record) {
        int number = Integer.parseInt(new String(record.headers().lastHeader("at").value()));
        Integer last = SEEN.put(record.key(), number);
        if ((last != null && number <= last) || !record.value().equals("v" + number)) {
            ORDERED.set(false);
        }
        TOTAL.incrementAndGet();
    }

    static Thread join(int at, String bootstrap, String topic, String group) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("heartbeat.interval.ms", "300");
        settings.put("fetch.max.wait.ms", "200");
        settings.put("partition.assignment.strategy", CooperativeStickyAssignor.class.getName());
        Thread thread = new Thread(() -> {
            try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of(topic));
                while (!STOP.get()) {
                    consumer.poll(Duration.ofMillis(100)).forEach(Tour::take);
                    OWNED[at].set(consumer.assignment().size());
                }
                consumer.commitSync();
            }
        });
        thread.start();
        return thread;
    }

    static void until(String what, BooleanSupplier condition) throws InterruptedException {
        for (int tries = 0; !condition.getAsBoolean(); tries++) {
            if (tries > 600) {
                System.err.println("waited a minute for " + what + ": " + TOTAL + " messages");
                System.exit(1);
            }
            Thread.sleep(100);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], topic = arguments[1], group = arguments[2];
        int count = Integer.parseInt(arguments[3]);
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, 3, (short) 1).configs(Map.of("retention.ms", "86400000")))).all().get();
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            String retention = admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
            Map<String, Object> settings = Map.of("bootstrap.servers", bootstrap, "compression.type", "lz4");
            try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int at = 0; at < count; at++) {
                    ProducerRecord<String, String> record = new ProducerRecord<>(topic, "k" + at % 10, "v" + at);
                    record.headers().add("at", Integer.toString(at).getBytes());
                    sent.add(producer.send(record));
                }
                for (Future<RecordMetadata> each : sent) {
                    each.get();
                }
            }
            Thread first = join(0, bootstrap, topic, group);
            until("all messages", () -> TOTAL.get() >= count);
            Thread second = join(1, bootstrap, topic, group);
            until("shared partitions", () -> OWNED[0].get() > 0 && OWNED[1].get() > 0 && OWNED[0].get() + OWNED[1].get() == 3);
            int less = Math.min(OWNED[0].get(), OWNED[1].get());
            int consumed = TOTAL.get();
            STOP.set(true);
            first.join();
            second.join();
            long committed = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream()
                .mapToLong(row -> row.offset()).sum();
            boolean listed = admin.listGroups().all().get().stream().anyMatch(row -> row.groupId().equals(group));
            String state = admin.describeConsumerGroups(List.of(group)).all().get().get(group).groupState().toString();
            admin.deleteConsumerGroups(List.of(group)).all().get();
            admin.deleteTopics(List.of(topic)).all().get();
            Set<String> topics = admin.listTopics().names().get();
            System.out.printf(
                "{\"client\":\"java\",\"retention\":\"%s\",\"shared\":[%d,%d],\"consumed\":%d,\"ordered\":%b,\"committed\":%d,"
                    + "\"listed\":%b,\"state\":\"%s\",\"gone\":%b}%n",
                retention, less, 3 - less, consumed, ORDERED.get(), committed, listed, state, !topics.contains(topic));
        }
    }
}
