// rabbitmq-client, which comes back by itself: prints what arrives in two queues until it is stopped.

import { Connection } from "rabbitmq-client";

const [url, name] = process.argv.slice(2);
const connection = new Connection({ url, retryLow: 100, retryHigh: 300 });
connection.on("error", () => undefined);

const take = async (message) => console.log("got", message.body.toString());

const consumers = [
  connection.createConsumer(
    { queue: name, queueOptions: { durable: true, arguments: { "x-max-priority": 3 } } },
    take,
  ),
  connection.createConsumer({ queueOptions: { exclusive: true }, queueBindings: [{ exchange: "amq.fanout" }] }, take),
];
for (const consumer of consumers) consumer.on("error", () => undefined);
await Promise.all(consumers.map((consumer) => new Promise((done) => consumer.once("ready", done))));
console.log("ready");
