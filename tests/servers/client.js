// An official JavaScript client of any generation, run from a script: the oracle beside which ours is held.
//
//   node --no-deprecation client.js --lib client4 --url http://127.0.0.1:1234 [--namespace /chat]
//     [--transports polling,websocket] [--auth JSON] [--query a=b] [--msgpack] --script JSON
//
// The script is a list of steps: ["call", event, ...args] waits for the ack, ["emit", event, ...args] doesn't,
// ["wait", event] waits for a push (also one that came before), ["sleep", ms], ["disconnect"]. Bytes are written as
// {"$bytes": base64}. Every push named `question` is acked with its own arguments. One JSON line for each step goes
// out: what its ack or its push carried.
"use strict";

const { parseArgs } = require("util");

const { values: options } = parseArgs({
  options: {
    lib: { type: "string", default: "client4" },
    url: { type: "string" },
    namespace: { type: "string", default: "/" },
    transports: { type: "string" },
    auth: { type: "string" },
    query: { type: "string" },
    msgpack: { type: "boolean", default: false },
    script: { type: "string" },
  },
});
const generation = Number(options.lib.slice(-1));
const io = require(options.lib);

function revive(key, value) {
  return value && value.$bytes !== undefined ? Buffer.from(value.$bytes, "base64") : value;
}

function plain(value) {
  if (value instanceof ArrayBuffer) value = Buffer.from(value);
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return { $bytes: bytes.toString("base64") };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (!value || typeof value !== "object") return value === undefined ? null : value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

function say(step, args) {
  console.log(JSON.stringify({ step, args: plain(args) }));
}

function settings() {
  const given = { "force new connection": true, forceNew: true, reconnection: false, reconnect: false };
  const transports = options.transports && options.transports.split(",");
  if (transports && generation === 0) io.transports = transports.map((name) => name.replace(/^polling$/, "xhr-polling"));
  else if (transports) given.transports = transports;
  if (options.auth) given.auth = JSON.parse(options.auth);
  if (options.query) given.query = options.query;
  if (options.msgpack) given.parser = require("socket.io-msgpack-parser");
  return given;
}

const base = options.url + (options.namespace === "/" ? "" : options.namespace);
const socket = generation === 0
  ? io.connect(base + (options.query ? `?${options.query}` : ""), settings())
  : io(base, settings());

const came = []; // [event, args] not yet waited for
const waiting = []; // [event, resolve]

function heard(event, args) {
  if (event === "question" && typeof args[args.length - 1] === "function") {
    const ack = args.pop();
    ack(...args);
  }
  const index = waiting.findIndex(([wanted]) => wanted === event);
  if (index >= 0) waiting.splice(index, 1)[0][1](args);
  else came.push([event, args]);
}

const REFUSALS = ["connect_error", "connect_failed", "error"];
const PUSHES = ["echo", "binary", "utf", "handshake", "message", "question", "answered", "broadcast", "burst", "tick"];
const MORE = ["news", "chat_message", "room_joined", "disconnect"];

for (const event of [...PUSHES, ...MORE, ...REFUSALS])
  socket.on(event, (...args) => {
    if (event === "disconnect") args = args.slice(0, 1); // 4.x adds details of its own
    heard(event, args.map((arg) => (arg instanceof Error ? { message: arg.message, data: arg.data } : arg)));
  });

function wait(event) {
  const index = came.findIndex(([name]) => name === event);
  if (index >= 0) return Promise.resolve(came.splice(index, 1)[0][1]);
  return new Promise((resolve) => waiting.push([event, resolve]));
}

// The parameter makes 0.9 ask for an ack with data.
function call(event, args) {
  return new Promise((resolve) => socket.emit(event, ...args, function (first) { resolve([...arguments]); }));
}

async function run(steps) {
  for (const [verb, what, ...args] of steps) {
    if (verb === "call") say(what, await call(what, args));
    else if (verb === "emit") say(what, (socket.emit(what, ...args), []));
    else if (verb === "wait") say(what, await wait(what));
    else if (verb === "sleep") await new Promise((resolve) => setTimeout(resolve, what));
    else if (verb === "disconnect") socket.disconnect();
  }
  socket.disconnect();
  setTimeout(() => process.exit(0), 2000).unref(); // Node ends by itself once the goodbye is out
}

const steps = JSON.parse(options.script, revive);
if (steps.length && REFUSALS.includes(steps[0][1])) run(steps);
else socket.on("connect", () => run(steps.splice(0)));
