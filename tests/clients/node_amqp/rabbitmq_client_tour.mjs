// One tour of rabbitmq-client through an AMQP broker; test_amqp_tours.py says what must come out.

import { Connection } from "rabbitmq-client";
import { big, kinds, name, overflows, run, until, url } from "./chapters.mjs";

const connect = async () => {
  const connection = new Connection(url);
  connection.on("error", () => undefined);
  await connection.onConnect();
  return connection;
};

const open = async (connection, confirms = false) => {
  const channel = await connection.acquire();
  channel.on("error", () => undefined);
  if (confirms) await channel.confirmSelect();
  return channel;
};

async function queue(channel, word, table = {}) {
  await channel.queueDeclare({ queue: name(word), durable: true, arguments: table });
  return name(word);
}

async function exchange(channel, word, type = "direct", options = {}) {
  await channel.exchangeDeclare({ exchange: name(word), type, durable: true, ...options });
  return name(word);
}

const get = (channel, where, noAck = true) => until(() => channel.basicGet({ queue: where, noAck }));

async function texts(channel, where, count) {
  const found = [];
  for (let at = 0; at < count; at++) found.push((await get(channel, where)).body);
  const more = await channel.basicGet({ queue: where, noAck: true });
  return more ? [...found, "and", more.body] : found;
}

const ready = async (channel, where) => (await channel.queueDeclare({ queue: where, passive: true })).messageCount;

const deaths = (headers) => headers["x-death"].map((row) => ({ ...row, time: Number(row.time) > 1_600_000_000 }));

const CODES = { NOT_FOUND: 404, PRECONDITION_FAILED: 406, ACCESS_REFUSED: 403, RESOURCE_LOCKED: 405 };

async function refusal(connection, act) {
  const channel = await connection.acquire();
  try {
    await act(channel);
  } catch (error) {
    return [CODES[error.code], error.message.replace(/^\w+: /, "")];
  }
  return ["not refused"];
}

const chapters = {
  async routed(connection) {
    const channel = await open(connection, true);
    const found = {};
    for (const [word, kind, key, table, sent, count] of kinds) {
      const through = await exchange(channel, `to-${word}`, kind);
      await channel.queueBind({
        queue: await queue(channel, word),
        exchange: through,
        routingKey: key,
        arguments: table,
      });
      for (const [at, one] of sent.entries()) {
        const [routingKey, headers] = typeof one === "string" ? [one, {}] : ["", one];
        await channel.basicPublish({ exchange: through, routingKey, headers }, `${at + 1}`);
      }
      found[word] = await texts(channel, name(word), count);
    }
    return found;
  },

  async confirmed(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "confirmed");
    const sent = Array.from({ length: 100 }, () => channel.basicPublish({ routingKey: where, durable: true }, "a"));
    await Promise.all(sent);
    return ready(channel, where);
  },

  async returned(connection) {
    const channel = await open(connection, true);
    const where = await exchange(channel, "nowhere", "fanout");
    const got = [];
    channel.on("basic.return", (message) => got.push(message));
    await channel.basicPublish({ exchange: where, routingKey: "k", mandatory: true }, "lost");
    const message = await until(() => got[0]);
    return [message.replyCode, message.replyText, message.body];
  },

  async prefetched(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "prefetched");
    const got = [];
    for (let at = 0; at < 10; at++) await channel.basicPublish(where, `${at}`);
    await channel.basicQos({ prefetchCount: 3 });
    await channel.basicConsume({ queue: where }, (message) => got.push(message));
    await until(() => got.length >= 3);
    const found = { left: await ready(channel, where), first: got.length };
    while (got.length < 10) {
      const seen = got.length;
      channel.basicAck({ deliveryTag: got.at(-1).deliveryTag, multiple: true });
      await until(() => got.length > seen);
    }
    channel.basicAck({ deliveryTag: 0, multiple: true });
    return { ...found, all: got.map((message) => message.body) };
  },

  async settled(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "settled");
    for (const body of "abc") await channel.basicPublish(where, body);
    channel.basicNack({ deliveryTag: (await get(channel, where, false)).deliveryTag, requeue: true });
    const found = [];
    for (const settle of [
      (deliveryTag) => channel.basicNack({ deliveryTag, requeue: true }),
      (deliveryTag) => channel.basicNack({ deliveryTag, requeue: false }),
      (deliveryTag) => channel.basicNack({ deliveryTag, requeue: false }),
      (deliveryTag) => channel.basicAck({ deliveryTag }),
    ]) {
      const message = await get(channel, where, false);
      found.push([message.body, message.redelivered]);
      settle(message.deliveryTag);
    }
    return [...found, await ready(channel, where)];
  },

  async priorities(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "priorities", { "x-max-priority": 5 });
    for (const [body, priority] of [["1", 1], ["5", 5], ["0", undefined], ["9", 9], ["5b", 5]])
      await channel.basicPublish({ routingKey: where, priority }, body);
    return texts(channel, where, 5);
  },

  async expired(connection) {
    const channel = await open(connection);
    const source = await exchange(channel, "source");
    const dead = await exchange(channel, "dead");
    const where = await queue(channel, "ttl", {
      "x-message-ttl": 50,
      "x-dead-letter-exchange": dead,
      "x-dead-letter-routing-key": "gone",
    });
    await channel.queueBind({ queue: where, exchange: source, routingKey: "k" });
    await channel.queueBind({ queue: await queue(channel, "expired"), exchange: dead, routingKey: "gone" });
    await channel.basicPublish({ exchange: source, routingKey: "k" }, "queue");
    const first = await get(channel, name("expired"));
    await channel.basicPublish({ exchange: source, routingKey: "k", expiration: "20", headers: { mine: 1 } }, "own");
    const message = await get(channel, name("expired"));
    const { "x-death": _, ...headers } = message.headers;
    return {
      queue: deaths(first.headers),
      own: deaths(message.headers),
      headers,
      expiration: message.expiration ?? null,
      key: message.routingKey,
    };
  },

  async refusals(connection) {
    const channel = await open(connection);
    const other = await connect();
    await queue(channel, "whole");
    await channel.queueDeclare({ queue: name("mine"), exclusive: true });
    const found = {
      queue: await refusal(connection, (one) => one.queueDeclare({ queue: name("no"), passive: true })),
      durable: await refusal(connection, (one) => one.queueDeclare({ queue: name("whole"), durable: false })),
      reserved: await refusal(connection, (one) => one.queueDeclare({ queue: "amq.mine" })),
      locked: await refusal(other, (one) => one.queueDeclare({ queue: name("mine"), exclusive: true })),
    };
    other.unsafeDestroy();
    return found;
  },

  async transacted(connection) {
    const channel = await open(connection);
    const other = await open(connection);
    const where = await queue(other, "transacted");
    await channel.txSelect();
    for (const body of "ab") await channel.basicPublish(where, body);
    const found = [await ready(other, where)];
    await channel.txRollback();
    found.push(await ready(other, where));
    await channel.basicPublish(where, "c");
    await channel.txCommit();
    return [...found, await ready(other, where)];
  },

  async replied(connection) {
    const where = name("asked");
    let asked;
    const server = connection.createConsumer({ queue: where, queueOptions: { durable: true } }, async (message, reply) => {
      asked = message;
      await reply("pong");
    });
    await new Promise((done) => server.once("ready", done));
    const client = connection.createRPCClient({ confirm: true });
    const answer = await client.send({ routingKey: where, correlationId: "7" }, "ping");
    await client.close();
    await server.close();
    return [
      asked.replyTo.startsWith("amq.rabbitmq.reply-to."),
      answer.correlationId === asked.correlationId ? "7" : answer.correlationId,
      answer.body,
    ];
  },

  async large(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "large");
    await channel.basicPublish(where, big);
    await channel.basicPublish(where, Buffer.alloc(0));
    return [big.equals((await get(channel, where)).body), (await get(channel, where)).body.length === 0];
  },

  async through(connection) {
    const channel = await open(connection, true);
    const outer = await exchange(channel, "outer", "topic");
    const inner = await exchange(channel, "inner", "fanout");
    const spare = await exchange(channel, "spare", "fanout");
    const narrow = await exchange(channel, "narrow", "direct", { arguments: { "alternate-exchange": spare } });
    const behind = await queue(channel, "behind");
    await channel.exchangeBind({ destination: inner, source: outer, routingKey: "a.*" });
    await channel.queueBind({ queue: behind, exchange: inner });
    await channel.queueBind({ queue: behind, exchange: outer, routingKey: "a.#" });
    await channel.queueBind({ queue: await queue(channel, "other"), exchange: spare });
    await channel.basicPublish({ exchange: outer, routingKey: "a.b" }, "1");
    await channel.basicPublish({ exchange: outer, routingKey: "b.b" }, "2");
    await channel.basicPublish({ exchange: narrow, routingKey: "unknown" }, "3");
    const found = { bound: await texts(channel, behind, 1), alternate: await texts(channel, name("other"), 1) };
    await channel.exchangeUnbind({ destination: inner, source: outer, routingKey: "a.*" });
    await channel.queueUnbind({ queue: behind, exchange: outer, routingKey: "a.#" });
    await channel.basicPublish({ exchange: outer, routingKey: "a.b" }, "4");
    return { ...found, unbound: await texts(channel, behind, 0) };
  },

  async full(connection) {
    const channel = await open(connection, true);
    const over = await queue(channel, "over");
    const found = {};
    for (const [word, how, dead] of overflows) {
      const where = await queue(channel, how, {
        "x-max-length": 2,
        "x-overflow": how,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": over,
      });
      const refused = [];
      for (const at of "12345") await channel.basicPublish(where, at).catch(() => refused.push(at));
      found[word] = [refused, await texts(channel, where, 2)];
      if (!dead) continue;
      found[dead] = [];
      for (let at = 0; at < 3; at++) {
        const message = await get(channel, over);
        found[dead].push([message.body, deaths(message.headers)[0].reason]);
      }
    }
    return { ...found, over: await texts(channel, over, 0) };
  },
};

// Closing in order would wait for every channel that was acquired.
await run(chapters, connect, async (connection) => connection.unsafeDestroy());
