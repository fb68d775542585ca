// One tour of amqplib through an AMQP broker; test_amqp_tours.py says what must come out.

import amqp from "amqplib";
import { big, kinds, name, overflows, run, until, url } from "./chapters.mjs";

const connect = async () => {
  const connection = await amqp.connect(url);
  connection.on("error", () => undefined);
  return connection;
};

const open = async (connection, confirms = false) => {
  const channel = await (confirms ? connection.createConfirmChannel() : connection.createChannel());
  channel.on("error", () => undefined);
  return channel;
};

async function queue(channel, word, table = {}) {
  await channel.assertQueue(name(word), { durable: true, arguments: table });
  return name(word);
}

async function exchange(channel, word, kind = "direct", options = {}) {
  await channel.assertExchange(name(word), kind, { durable: true, ...options });
  return name(word);
}

const get = (channel, where, noAck = true) => until(() => channel.get(where, { noAck }));

async function texts(channel, where, count) {
  const found = [];
  for (let at = 0; at < count; at++) found.push((await get(channel, where)).content.toString());
  const more = await channel.get(where, { noAck: true });
  return more ? [...found, "and", more.content.toString()] : found;
}

const ready = async (channel, where) => (await channel.checkQueue(where)).messageCount;

const deaths = (headers) =>
  headers["x-death"].map((row) => ({ ...row, time: row.time["!"] === "timestamp" }));

async function refusal(connection, act) {
  const channel = await connection.createChannel();
  const told = new Promise((done) => channel.once("error", done));
  try {
    await act(channel);
    await channel.assertQueue("", { exclusive: true });
  } catch {
    const error = await told;
    return [error.code, /"(.*)"$/.exec(error.message)[1]];
  }
  return ["not refused"];
}

const chapters = {
  async routed(connection) {
    const channel = await open(connection, true);
    const found = {};
    for (const [word, kind, key, table, sent, count] of kinds) {
      const through = await exchange(channel, `to-${word}`, kind);
      await channel.bindQueue(await queue(channel, word), through, key, table);
      for (const [at, one] of sent.entries()) {
        const [routing, headers] = typeof one === "string" ? [one, {}] : ["", one];
        channel.publish(through, routing, Buffer.from(`${at + 1}`), { headers });
      }
      await channel.waitForConfirms();
      found[word] = await texts(channel, name(word), count);
    }
    return found;
  },

  async confirmed(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "confirmed");
    for (let at = 0; at < 100; at++) channel.sendToQueue(where, Buffer.from("a"), { persistent: true });
    await channel.waitForConfirms();
    return ready(channel, where);
  },

  async returned(connection) {
    const channel = await open(connection, true);
    const where = await exchange(channel, "nowhere", "fanout");
    const got = [];
    channel.on("return", (message) => got.push(message));
    channel.publish(where, "k", Buffer.from("lost"), { mandatory: true });
    await channel.waitForConfirms();
    return [got[0].fields.replyCode, got[0].fields.replyText, got[0].content.toString()];
  },

  async prefetched(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "prefetched");
    const got = [];
    for (let at = 0; at < 10; at++) channel.sendToQueue(where, Buffer.from(`${at}`));
    await channel.prefetch(3);
    await channel.consume(where, (message) => got.push(message));
    await until(() => got.length >= 3);
    const found = { left: await ready(channel, where), first: got.length };
    while (got.length < 10) {
      const seen = got.length;
      channel.ack(got.at(-1), true);
      await until(() => got.length > seen);
    }
    channel.ackAll();
    return { ...found, all: got.map((message) => message.content.toString()) };
  },

  async settled(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "settled");
    for (const body of "abc") channel.sendToQueue(where, Buffer.from(body));
    channel.nack(await get(channel, where, false), false, true);
    const found = [];
    for (const settle of [
      (message) => channel.reject(message, true),
      (message) => channel.reject(message, false),
      (message) => channel.nack(message, false, false),
      (message) => channel.ack(message),
    ]) {
      const message = await get(channel, where, false);
      found.push([message.content.toString(), message.fields.redelivered]);
      settle(message);
    }
    return [...found, await ready(channel, where)];
  },

  async recovered(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "recovered");
    channel.sendToQueue(where, Buffer.from("a"));
    await get(channel, where, false);
    await channel.recover();
    const message = await get(channel, where);
    return [message.content.toString(), message.fields.redelivered];
  },

  async priorities(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "priorities", { "x-max-priority": 5 });
    for (const [body, priority] of [["1", 1], ["5", 5], ["0", undefined], ["9", 9], ["5b", 5]])
      channel.sendToQueue(where, Buffer.from(body), { priority });
    await channel.waitForConfirms();
    return texts(channel, where, 5);
  },

  async expired(connection) {
    const channel = await open(connection);
    const source = await exchange(channel, "source");
    const dead = await exchange(channel, "dead");
    const where = name("ttl");
    await channel.assertQueue(where, { messageTtl: 50, deadLetterExchange: dead, deadLetterRoutingKey: "gone" });
    await channel.bindQueue(where, source, "k");
    await channel.bindQueue(await queue(channel, "expired"), dead, "gone");
    channel.publish(source, "k", Buffer.from("queue"));
    const first = await get(channel, name("expired"));
    channel.publish(source, "k", Buffer.from("own"), { expiration: "20", headers: { mine: 1 } });
    const { properties, fields } = await get(channel, name("expired"));
    const { "x-death": _, ...headers } = properties.headers;
    return {
      queue: deaths(first.properties.headers),
      own: deaths(properties.headers),
      headers,
      expiration: properties.expiration ?? null,
      key: fields.routingKey,
    };
  },

  async refusals(connection) {
    const channel = await open(connection);
    const other = await connect();
    await queue(channel, "whole");
    await channel.assertQueue(name("mine"), { exclusive: true });
    const found = {
      queue: await refusal(connection, (one) => one.checkQueue(name("no"))),
      exchange: await refusal(connection, (one) => one.checkExchange(name("no"))),
      publish: await refusal(connection, (one) => one.publish(name("no"), "k", Buffer.from("a"))),
      bind: await refusal(connection, (one) => one.bindQueue(name("whole"), name("no"), "k")),
      durable: await refusal(connection, (one) => one.assertQueue(name("whole"), { durable: false })),
      reserved: await refusal(connection, (one) => one.assertQueue("amq.mine")),
      locked: await refusal(other, (one) => one.assertQueue(name("mine"), { exclusive: true })),
    };
    await other.close();
    return found;
  },

  async named(connection) {
    const channel = await open(connection);
    const { queue: made } = await channel.assertQueue("", { exclusive: true });
    await channel.bindQueue(made, "amq.fanout", "");
    channel.publish("amq.fanout", "", Buffer.from("a"));
    return [made.slice(0, 8), await texts(channel, made, 1)];
  },

  async counted(connection) {
    const channel = await open(connection, true);
    const where = await queue(channel, "counted");
    for (const body of "abc") channel.sendToQueue(where, Buffer.from(body));
    await channel.waitForConfirms();
    const purged = (await channel.purgeQueue(where)).messageCount;
    channel.sendToQueue(where, Buffer.from("d"));
    await channel.waitForConfirms();
    return [purged, (await channel.deleteQueue(where)).messageCount, (await channel.deleteQueue(where)).messageCount];
  },

  async cancelled(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "doomed");
    let told = false;
    await channel.consume(where, (message) => { told = message === null; });
    await (await open(connection)).deleteQueue(where);
    return until(() => told);
  },

  async replied(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "asked");
    const direct = "amq.rabbitmq.reply-to";
    const answers = [];
    await channel.consume(direct, (message) => answers.push(message), { noAck: true });
    channel.sendToQueue(where, Buffer.from("ping"), { replyTo: direct, correlationId: "7" });
    const { properties: asked } = await get(channel, where);
    (await open(connection)).sendToQueue(asked.replyTo, Buffer.from("pong"), { correlationId: asked.correlationId });
    const answer = await until(() => answers[0]);
    return [asked.replyTo.startsWith(`${direct}.`), answer.properties.correlationId, answer.content.toString()];
  },

  async large(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "large");
    channel.sendToQueue(where, big);
    channel.sendToQueue(where, Buffer.alloc(0));
    return [big.equals((await get(channel, where)).content), (await get(channel, where)).content.length === 0];
  },

  async through(connection) {
    const channel = await open(connection, true);
    const outer = await exchange(channel, "outer", "topic");
    const inner = await exchange(channel, "inner", "fanout");
    const spare = await exchange(channel, "spare", "fanout");
    const narrow = await exchange(channel, "narrow", "direct", { alternateExchange: spare });
    const behind = await queue(channel, "behind");
    await channel.bindExchange(inner, outer, "a.*");
    await channel.bindQueue(behind, inner, "");
    await channel.bindQueue(behind, outer, "a.#");
    await channel.bindQueue(await queue(channel, "other"), spare, "");
    channel.publish(outer, "a.b", Buffer.from("1"));
    channel.publish(outer, "b.b", Buffer.from("2"));
    channel.publish(narrow, "unknown", Buffer.from("3"));
    await channel.waitForConfirms();
    const found = { bound: await texts(channel, behind, 1), alternate: await texts(channel, name("other"), 1) };
    await channel.unbindExchange(inner, outer, "a.*");
    await channel.unbindQueue(behind, outer, "a.#");
    channel.publish(outer, "a.b", Buffer.from("4"));
    await channel.waitForConfirms();
    return { ...found, unbound: await texts(channel, behind, 0) };
  },

  async single(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "single", { "x-single-active-consumer": true });
    const got = [];
    const first = await channel.consume(where, () => got.push("first"), { noAck: true });
    await channel.consume(where, () => got.push("second"), { noAck: true });
    for (const body of "ab") channel.sendToQueue(where, Buffer.from(body));
    await until(() => got.length === 2);
    await channel.cancel(first.consumerTag);
    channel.sendToQueue(where, Buffer.from("c"));
    await until(() => got.length === 3);
    return got;
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
      for (const at of "12345")
        await new Promise((done) =>
          channel.sendToQueue(where, Buffer.from(at), {}, (error) => { if (error) refused.push(at); done(); }),
        );
      found[word] = [refused, await texts(channel, where, 2)];
      if (!dead) continue;
      found[dead] = [];
      for (let at = 0; at < 3; at++) {
        const message = await get(channel, over);
        found[dead].push([message.content.toString(), deaths(message.properties.headers)[0].reason]);
      }
    }
    return { ...found, over: await texts(channel, over, 0) };
  },

  async properties(connection) {
    const channel = await open(connection);
    const where = await queue(channel, "properties");
    const headers = {
      text: "é",
      int: -5,
      long: 2 ** 40,
      float: 1.5,
      true: true,
      null: null,
      table: { in: { deep: 1 } },
      list: [1, "two", null, { x: [3] }],
    };
    const given = {
      contentType: "text/plain",
      contentEncoding: "utf-8",
      deliveryMode: 2,
      priority: 3,
      correlationId: "c",
      replyTo: "r",
      expiration: "60000",
      messageId: "m",
      timestamp: 1_700_000_000,
      type: "t",
      userId: "guest",
      appId: "a",
    };
    channel.sendToQueue(where, Buffer.from("a"), { ...given, headers });
    const { properties: got } = await get(channel, where);
    const differ = (wanted, found) =>
      Object.keys(wanted).filter((key) => JSON.stringify(found[key]) !== JSON.stringify(wanted[key]));
    return { properties: differ(given, got), headers: differ(headers, got.headers) };
  },
};

await run(chapters, connect);
