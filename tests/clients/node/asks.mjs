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
const replies = [];
let came = () => {};
await channel.consume(
  queue,
  ({ content, properties }) => {
    const { correlationId, type, headers } = properties;
    replies.push({ correlationId, type, headers, body: JSON.parse(content) });
    came();
  },
  { noAck: true },
);

async function told(sent, wanted) {
  for (;;) {
    const reply = replies.find((each) => each.correlationId === sent && wanted(each.type));
    if (reply) return { sent, ...reply };
    await new Promise((resolve) => (came = resolve));
  }
}

async function ask(key, body, wanted, more = {}) {
  const correlationId = randomUUID();
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
  return told(correlationId, wanted);
}

const last = (type) => !["request.accepted", "request.progress"].includes(type);
const completed = await ask("echo.high", hello, last);
const refused = await ask("no-such-model.normal", hello, last);
const accepted = await ask("slow-60000.low", hello, (type) => type === "request.accepted", {
  headers: { "x-penstock-progress": true },
});
const cancelled = await ask("slow-60000.low", { id: accepted.body.id }, last, {
  type: "request.cancel",
});
const ended = await told(accepted.sent, last);
await connection.close();
console.log(JSON.stringify({ completed, refused, accepted, cancelled, ended }));
