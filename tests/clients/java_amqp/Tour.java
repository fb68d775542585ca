// One tour of RabbitMQ's Java client through an AMQP broker; test_amqp_tours.py says what must come out.

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Tour {
    static String prefix;
    static ConnectionFactory factory = new ConnectionFactory();

    interface Chapter {
        Object run(Connection connection) throws Exception;
    }

    interface Act {
        void run(Channel channel) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        factory.setUri(arguments[0]);
        factory.setAutomaticRecoveryEnabled(false);
        prefix = arguments[1];
        Map<String, Chapter> chapters = new LinkedHashMap<>();
        chapters.put("routed", Tour::routed);
        chapters.put("confirmed", Tour::confirmed);
        chapters.put("returned", Tour::returned);
        chapters.put("prefetched", Tour::prefetched);
        chapters.put("settled", Tour::settled);
        chapters.put("recovered", Tour::recovered);
        chapters.put("priorities", Tour::priorities);
        chapters.put("expired", Tour::expired);
        chapters.put("refusals", Tour::refusals);
        chapters.put("named", Tour::named);
        chapters.put("counted", Tour::counted);
        chapters.put("cancelled", Tour::cancelled);
        chapters.put("transacted", Tour::transacted);
        chapters.put("replied", Tour::replied);
        chapters.put("large", Tour::large);
        chapters.put("through", Tour::through);
        chapters.put("single", Tour::single);
        chapters.put("full", Tour::full);
        List<String> chosen = Arrays.asList(arguments).subList(2, arguments.length);
        Map<String, Object> found = new LinkedHashMap<>();
        for (Map.Entry<String, Chapter> each : chapters.entrySet()) {
            if (!chosen.isEmpty() && !chosen.contains(each.getKey())) {
                continue;
            }
            Connection connection = factory.newConnection();
            try {
                found.put(each.getKey(), each.getValue().run(connection));
            } catch (Exception error) {
                found.put(each.getKey(), "failed: " + error + " at " + Arrays.toString(error.getStackTrace()));
            }
            connection.abort();
        }
        System.out.println(json(found));
        System.exit(0);
    }

    static String name(String word) {
        return prefix + "-" + word;
    }

    static String queue(Channel channel, String word, Object... table) throws Exception {
        channel.queueDeclare(name(word), true, false, false, table(table));
        return name(word);
    }

    static String exchange(Channel channel, String word, String kind, Object... table) throws Exception {
        channel.exchangeDeclare(name(word), kind, true, false, table(table));
        return name(word);
    }

    static Map<String, Object> table(Object... rows) {
        Map<String, Object> made = new HashMap<>();
        for (int at = 0; at < rows.length; at += 2) {
            made.put((String) rows[at], rows[at + 1]);
        }
        return made;
    }

    static void put(Channel channel, String where, String... bodies) throws Exception {
        for (String body : bodies) {
            channel.basicPublish("", where, null, body.getBytes());
        }
    }

    static GetResponse get(Channel channel, String where, boolean autoAck) throws Exception {
        return until(() -> channel.basicGet(where, autoAck));
    }

    static String text(GetResponse message) {
        return new String(message.getBody());
    }

    static List<Object> texts(Channel channel, String where, int count) throws Exception {
        List<Object> found = new ArrayList<>();
        for (int at = 0; at < count; at++) {
            found.add(text(get(channel, where, true)));
        }
        GetResponse more = channel.basicGet(where, true);
        if (more != null) {
            found.add("and");
            found.add(text(more));
        }
        return found;
    }

    static int ready(Channel channel, String where) throws Exception {
        return channel.queueDeclarePassive(where).getMessageCount();
    }

    /** Ask until the answer is neither null nor false. */
    static <T> T until(Callable<T> what) throws Exception {
        for (int at = 0; at < 1_000; at++) {
            T found = what.call();
            if (found != null && found != Boolean.FALSE) {
                return found;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException("nothing came in 20 s");
    }

    static List<Object> deaths(Map<String, Object> headers) {
        List<Object> rows = new ArrayList<>();
        for (Object row : (List<?>) headers.get("x-death")) {
            Map<Object, Object> copy = new HashMap<>((Map<?, ?>) row);
            copy.put("time", copy.get("time") instanceof Date);
            rows.add(copy);
        }
        return rows;
    }

    static Object refusal(Connection connection, Act act) throws Exception {
        Channel channel = connection.createChannel();
        try {
            act.run(channel);
            channel.queueDeclare();
        } catch (java.io.IOException | AlreadyClosedException error) {
            Throwable cause = error instanceof AlreadyClosedException ? error : error.getCause();
            AMQP.Channel.Close close = (AMQP.Channel.Close) ((ShutdownSignalException) cause).getReason();
            return List.of(close.getReplyCode(), close.getReplyText());
        }
        return List.of("not refused");
    }

    static Object routed(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        Object[] tables = {table("a", 1, "b", "x"), table("a", 1), table("a", 1, "b", "x", "c", 9)};
        Object[][] kinds = {
            {"direct", "direct", "red", table(), new Object[] {"red", "blue"}, 1},
            {"fanout", "fanout", "", table(), new Object[] {"red", "blue"}, 2},
            {"topic", "topic", "*.red.#", table(), new Object[] {"a.red", "red", "a.red.b.c", "a.b.red"}, 2},
            {"headers", "headers", "", table("x-match", "all", "a", 1, "b", "x"), tables, 2},
            {"any", "headers", "", table("x-match", "any", "a", 1, "b", "x"), tables, 3},
        };
        Map<String, Object> found = new LinkedHashMap<>();
        for (Object[] row : kinds) {
            String word = (String) row[0];
            String through = exchange(channel, "to-" + word, (String) row[1]);
            channel.queueBind(queue(channel, word), through, (String) row[2], cast(row[3]));
            int at = 0;
            for (Object one : (Object[]) row[4]) {
                byte[] body = Integer.toString(++at).getBytes();
                if (one instanceof String key) {
                    channel.basicPublish(through, key, null, body);
                } else {
                    channel.basicPublish(through, "", new BasicProperties.Builder().headers(cast(one)).build(), body);
                }
            }
            channel.waitForConfirmsOrDie(20_000);
            found.put(word, texts(channel, name(word), (Integer) row[5]));
        }
        return found;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> cast(Object table) {
        return (Map<String, Object>) table;
    }

    static Object confirmed(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String where = queue(channel, "confirmed");
        for (int at = 0; at < 100; at++) {
            channel.basicPublish("", where, MessageProperties.PERSISTENT_TEXT_PLAIN, "a".getBytes());
        }
        channel.waitForConfirmsOrDie(20_000);
        return ready(channel, where);
    }

    static Object returned(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String where = exchange(channel, "nowhere", "fanout");
        BlockingQueue<List<Object>> got = new LinkedBlockingQueue<>();
        channel.addReturnListener(back ->
            got.add(List.of(back.getReplyCode(), back.getReplyText(), new String(back.getBody()))));
        channel.basicPublish(where, "k", true, null, "lost".getBytes());
        channel.waitForConfirmsOrDie(20_000);
        return got.poll(20, TimeUnit.SECONDS);
    }

    static Object prefetched(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "prefetched");
        put(channel, where, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9");
        List<Object> bodies = new ArrayList<>();
        BlockingQueue<Long> tags = new LinkedBlockingQueue<>();
        channel.basicQos(3);
        channel.basicConsume(where, false, (tag, message) -> {
            bodies.add(new String(message.getBody()));
            tags.add(message.getEnvelope().getDeliveryTag());
        }, tag -> { });
        until(() -> tags.size() >= 3);
        Map<String, Object> found = new HashMap<>(Map.of("left", ready(channel, where), "first", tags.size()));
        for (int at = 0; at < 10; at++) {
            channel.basicAck(tags.poll(20, TimeUnit.SECONDS), true);
        }
        found.put("all", bodies);
        return found;
    }

    static Object settled(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "settled");
        put(channel, where, "a", "b", "c");
        channel.basicNack(get(channel, where, false).getEnvelope().getDeliveryTag(), false, true);
        List<Object> found = new ArrayList<>();
        for (int at = 0; at < 4; at++) {
            GetResponse message = get(channel, where, false);
            found.add(List.of(text(message), message.getEnvelope().isRedeliver()));
            long tag = message.getEnvelope().getDeliveryTag();
            switch (at) {
                case 0 -> channel.basicReject(tag, true);
                case 1 -> channel.basicReject(tag, false);
                case 2 -> channel.basicNack(tag, false, false);
                default -> channel.basicAck(tag, false);
            }
        }
        found.add(ready(channel, where));
        return found;
    }

    static Object recovered(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "recovered");
        put(channel, where, "a");
        get(channel, where, false);
        channel.basicRecover(true);
        GetResponse message = get(channel, where, true);
        return List.of(text(message), message.getEnvelope().isRedeliver());
    }

    static Object priorities(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String where = queue(channel, "priorities", "x-max-priority", 5);
        Object[][] rows = {{"1", 1}, {"5", 5}, {"0", null}, {"9", 9}, {"5b", 5}};
        for (Object[] row : rows) {
            BasicProperties properties = new BasicProperties.Builder().priority((Integer) row[1]).build();
            channel.basicPublish("", where, properties, ((String) row[0]).getBytes());
        }
        channel.waitForConfirmsOrDie(20_000);
        return texts(channel, where, 5);
    }

    static Object expired(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String source = exchange(channel, "source", "direct");
        String dead = exchange(channel, "dead", "direct");
        String where = queue(channel, "ttl", "x-message-ttl", 50, "x-dead-letter-exchange", dead,
            "x-dead-letter-routing-key", "gone");
        channel.queueBind(where, source, "k");
        channel.queueBind(queue(channel, "expired"), dead, "gone");
        channel.basicPublish(source, "k", null, "queue".getBytes());
        Map<String, Object> found = new HashMap<>();
        found.put("queue", deaths(get(channel, name("expired"), true).getProps().getHeaders()));
        BasicProperties own = new BasicProperties.Builder().expiration("20").headers(table("mine", 1)).build();
        channel.basicPublish(source, "k", own, "own".getBytes());
        GetResponse message = get(channel, name("expired"), true);
        Map<String, Object> headers = new HashMap<>(message.getProps().getHeaders());
        found.put("own", deaths(headers));
        headers.remove("x-death");
        found.put("headers", headers);
        found.put("expiration", message.getProps().getExpiration());
        found.put("key", message.getEnvelope().getRoutingKey());
        return found;
    }

    static Object refusals(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        queue(channel, "whole");
        channel.queueDeclare(name("mine"), false, true, false, null);
        Connection other = factory.newConnection();
        Map<String, Object> found = new HashMap<>();
        byte[] body = "a".getBytes();
        found.put("queue", refusal(connection, one -> one.queueDeclarePassive(name("no"))));
        found.put("exchange", refusal(connection, one -> one.exchangeDeclarePassive(name("no"))));
        found.put("publish", refusal(connection, one -> one.basicPublish(name("no"), "k", null, body)));
        found.put("bind", refusal(connection, one -> one.queueBind(name("whole"), name("no"), "k")));
        found.put("durable", refusal(connection, one -> one.queueDeclare(name("whole"), false, false, false, null)));
        found.put("argument", refusal(connection,
            one -> one.queueDeclare(name("whole"), true, false, false, table("x-message-ttl", 5))));
        found.put("reserved", refusal(connection, one -> one.queueDeclare("amq.mine", false, false, false, null)));
        found.put("default", refusal(connection, one -> one.queueBind(name("whole"), "", "k")));
        found.put("tag", refusal(connection, one -> one.basicAck(99, false)));
        found.put("locked", refusal(other, one -> one.queueDeclare(name("mine"), false, true, false, null)));
        other.abort();
        return found;
    }

    static Object named(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String made = channel.queueDeclare().getQueue();
        channel.queueBind(made, "amq.fanout", "");
        channel.basicPublish("amq.fanout", "", null, "a".getBytes());
        return List.of(made.substring(0, 8), texts(channel, made, 1));
    }

    static Object counted(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String where = queue(channel, "counted");
        put(channel, where, "a", "b", "c");
        channel.waitForConfirmsOrDie(20_000);
        int purged = channel.queuePurge(where).getMessageCount();
        put(channel, where, "d");
        channel.waitForConfirmsOrDie(20_000);
        return List.of(purged, channel.queueDelete(where).getMessageCount(), channel.queueDelete(where).getMessageCount());
    }

    static Object cancelled(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "doomed");
        BlockingQueue<String> told = new LinkedBlockingQueue<>();
        String tag = channel.basicConsume(where, false, (one, message) -> { }, told::add);
        connection.createChannel().queueDelete(where);
        return tag.equals(told.poll(20, TimeUnit.SECONDS));
    }

    static Object transacted(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        Channel other = connection.createChannel();
        String where = queue(other, "transacted");
        channel.txSelect();
        put(channel, where, "a", "b");
        List<Object> found = new ArrayList<>(List.of(ready(other, where)));
        channel.txRollback();
        found.add(ready(other, where));
        put(channel, where, "c");
        channel.txCommit();
        found.add(ready(other, where));
        return found;
    }

    static Object replied(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "asked");
        String direct = "amq.rabbitmq.reply-to";
        BlockingQueue<List<Object>> answers = new LinkedBlockingQueue<>();
        channel.basicConsume(direct, true,
            (tag, message) -> answers.add(List.of(message.getProperties().getCorrelationId(), new String(message.getBody()))),
            tag -> { });
        BasicProperties asks = new BasicProperties.Builder().replyTo(direct).correlationId("7").build();
        channel.basicPublish("", where, asks, "ping".getBytes());
        BasicProperties asked = get(channel, where, true).getProps();
        BasicProperties answer = new BasicProperties.Builder().correlationId(asked.getCorrelationId()).build();
        connection.createChannel().basicPublish("", asked.getReplyTo(), answer, "pong".getBytes());
        List<Object> found = new ArrayList<>(List.of(asked.getReplyTo().startsWith(direct + ".")));
        found.addAll(answers.poll(20, TimeUnit.SECONDS));
        return found;
    }

    static Object large(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "large");
        byte[] big = new byte[300_000];
        for (int at = 0; at < big.length; at++) {
            big[at] = (byte) (at % 250);
        }
        channel.basicPublish("", where, null, big);
        channel.basicPublish("", where, null, new byte[0]);
        return List.of(Arrays.equals(big, get(channel, where, true).getBody()),
            get(channel, where, true).getBody().length == 0);
    }

    static Object through(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String outer = exchange(channel, "outer", "topic");
        String inner = exchange(channel, "inner", "fanout");
        String spare = exchange(channel, "spare", "fanout");
        String narrow = exchange(channel, "narrow", "direct", "alternate-exchange", spare);
        String behind = queue(channel, "behind");
        channel.exchangeBind(inner, outer, "a.*");
        channel.queueBind(behind, inner, "");
        channel.queueBind(behind, outer, "a.#");
        channel.queueBind(queue(channel, "other"), spare, "");
        channel.basicPublish(outer, "a.b", null, "1".getBytes());
        channel.basicPublish(outer, "b.b", null, "2".getBytes());
        channel.basicPublish(narrow, "unknown", null, "3".getBytes());
        channel.waitForConfirmsOrDie(20_000);
        Map<String, Object> found = new HashMap<>();
        found.put("bound", texts(channel, behind, 1));
        found.put("alternate", texts(channel, name("other"), 1));
        channel.exchangeUnbind(inner, outer, "a.*");
        channel.queueUnbind(behind, outer, "a.#");
        channel.basicPublish(outer, "a.b", null, "4".getBytes());
        channel.waitForConfirmsOrDie(20_000);
        found.put("unbound", texts(channel, behind, 0));
        return found;
    }

    static Object single(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        String where = queue(channel, "single", "x-single-active-consumer", true);
        BlockingQueue<Object> got = new LinkedBlockingQueue<>();
        String first = channel.basicConsume(where, true, (tag, message) -> got.add("first"), tag -> { });
        channel.basicConsume(where, true, (tag, message) -> got.add("second"), tag -> { });
        put(channel, where, "a", "b");
        List<Object> found = new ArrayList<>();
        found.add(got.poll(20, TimeUnit.SECONDS));
        found.add(got.poll(20, TimeUnit.SECONDS));
        channel.basicCancel(first);
        put(channel, where, "c");
        found.add(got.poll(20, TimeUnit.SECONDS));
        return found;
    }

    static Object full(Connection connection) throws Exception {
        Channel channel = connection.createChannel();
        channel.confirmSelect();
        String over = queue(channel, "over");
        Map<String, Object> found = new HashMap<>();
        String[][] rows = {
            {"drop", "drop-head", "dropped"},
            {"refuse", "reject-publish", null},
            {"refuse_dead", "reject-publish-dlx", "refused"},
        };
        for (String[] row : rows) {
            String where = queue(channel, row[1], "x-max-length", 2, "x-overflow", row[1],
                "x-dead-letter-exchange", "", "x-dead-letter-routing-key", over);
            List<Object> refused = new ArrayList<>();
            for (String at : List.of("1", "2", "3", "4", "5")) {
                put(channel, where, at);
                if (!channel.waitForConfirms(20_000)) {
                    refused.add(at);
                }
            }
            found.put(row[0], List.of(refused, texts(channel, where, 2)));
            List<Object> dead = new ArrayList<>();
            for (int at = 0; row[2] != null && at < 3; at++) {
                GetResponse message = get(channel, over, true);
                Map<?, ?> death = (Map<?, ?>) deaths(message.getProps().getHeaders()).get(0);
                dead.add(List.of(text(message), death.get("reason")));
            }
            if (row[2] != null) {
                found.put(row[2], dead);
            }
        }
        found.put("over", texts(channel, over, 0));
        return found;
    }

    static String json(Object value) {
        if (value == null || value instanceof Boolean || value instanceof Number) {
            return String.valueOf(value);
        }
        if (value instanceof Map<?, ?> map) {
            List<String> rows = new ArrayList<>();
            map.forEach((key, each) -> rows.add(json(key) + ":" + json(each)));
            return "{" + String.join(",", rows) + "}";
        }
        if (value instanceof List<?> list) {
            return "[" + String.join(",", list.stream().map(Tour::json).toList()) + "]";
        }
        String text = value instanceof LongString longer ? longer.toString() : String.valueOf(value);
        return "\"" + text.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }
}
