// Asks Penstock over AMQP with amqplib, and prints what it was told: node asks.mjs URL EXCHANGE USER
// Run it where node_modules is: modules do not look at NODE_PATH.
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";

const amqp = createRequire(`${process.cwd()}/`)("amqplib");
const [url, exchange, user] = process.argv.slice(2);
const hello = { body: { messages: [{ role: "user", content: "hello" }] } };

const connection = await amqp.connect(url, { timeout: 10_000 });
const channel = await connection.createConfirmChannel();
// A queue that RabbitMQ names; it goes with the connection.
const { queue } = await channel.assertQueue("", { exclusive: true });
const waiting = new Map();
await channel.consume(
  queue,
  ({ content, properties }) => {
    const { correlationId, type, headers } = properties;
    const told = { correlationId, type, headers, body: JSON.parse(content) };
    waiting.get(correlationId)?.(told);
  },
  { noAck: true },
);

async function publish(key, body, wanted, more = {}) {
  const correlationId = randomUUID();
  const reply = new Promise((resolve) => {
    waiting.set(correlationId, (told) => wanted(told.type) && resolve({ sent: correlationId, ...told }));
  });
  channel.publish(exchange, key, Buffer.from(JSON.stringify(body)), {
    contentType: "application/json",
    correlationId,
    deliveryMode: 2,
    mandatory: true,
    replyTo: queue,
    userId: user,
    ...more,
  });
  await channel.waitForConfirms();
  return reply;
}

const last = (type) => !["request.accepted", "request.progress"].includes(type);
const completed = await publish("echo.high", hello, last);
const refused = await publish("no-such-model.normal", hello, last);
const accepted = await publish("slow-60000.low", hello, (type) => type === "request.accepted", {
  headers: { "x-penstock-progress": true },
});
const cancelled = await publish("slow-60000.low", { id: accepted.body.id }, last, {
  type: "request.cancel",
});
await connection.close();
console.log(JSON.stringify({ completed, refused, accepted, cancelled }));
