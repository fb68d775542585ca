// What the AMQP tours of Node's clients share: chapters by name, what each of them found, and waiting.

export const [url, prefix, ...chosen] = process.argv.slice(2);

export const name = (word) => `${prefix}-${word}`;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** Ask until the answer is neither undefined nor false. */
export async function until(what) {
  const end = Date.now() + 20_000;
  while (Date.now() < end) {
    const found = await what();
    if (found !== undefined && found !== false) return found;
    await pause(20);
  }
  throw new Error("nothing came in 20 s");
}

/** Each chapter with a connection of its own; one that fails is a finding, and the others go on. */
export async function run(chapters, connect, close = (connection) => connection.close()) {
  const found = {};
  for (const [word, chapter] of Object.entries(chapters)) {
    if (chosen.length && !chosen.includes(word)) continue;
    const connection = await connect();
    try {
      found[word] = await chapter(connection);
    } catch (error) {
      found[word] = `failed: ${error.stack}`;
    }
    await close(connection).catch(() => undefined);
  }
  console.log(JSON.stringify(found));
  process.exit(0);
}

export const tables = [
  { a: 1, b: "x" },
  { a: 1 },
  { a: 1, b: "x", c: 9 },
];

/** One kind of exchange each: name, kind, key of the binding, its arguments, what is published, how many arrive. */
export const kinds = [
  ["direct", "direct", "red", {}, ["red", "blue"], 1],
  ["fanout", "fanout", "", {}, ["red", "blue"], 2],
  ["topic", "topic", "*.red.#", {}, ["a.red", "red", "a.red.b.c", "a.b.red"], 2],
  ["headers", "headers", "", { "x-match": "all", a: 1, b: "x" }, tables, 2],
  ["any", "headers", "", { "x-match": "any", a: 1, b: "x" }, tables, 3],
];

export const overflows = [
  ["drop", "drop-head", "dropped"],
  ["refuse", "reject-publish", null],
  ["refuse_dead", "reject-publish-dlx", "refused"],
];

export const big = Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 250));
