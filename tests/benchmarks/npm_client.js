// socket.io-client in Node doing the benchmark's work, without any statistics.
// The job comes as JSON in SIOLOAD_BENCH, the result goes to the file that it names; see generators.py.
"use strict";
const { createRequire } = require("node:module");
const fs = require("node:fs");
const path = require("node:path");

const job = JSON.parse(process.env.SIOLOAD_BENCH);
const { io } = createRequire(path.resolve(job.modules, "x.js"))("client4");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const perMessageDeflate = job.deflate ? {} : undefined; // the package's own threshold is 1 KiB
const ca = job.ca ? fs.readFileSync(job.ca) : undefined;
let ops = 0;

function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function finish(result) {
  fs.writeFileSync(job.out, JSON.stringify(result));
  process.exit(0);
}

function connect() {
  return new Promise((done, failed) => {
    const socket = io(job.url, { transports: job.transports, multiplex: false, reconnection: false, ca, perMessageDeflate });
    const upgraded = () => socket.io.engine.transport.name === job.transports.at(-1);
    socket.on("connect_error", failed);
    socket.on("connect", () => (upgraded() ? done(socket) : socket.io.engine.once("upgrade", () => done(socket))));
  });
}

// Fifty connects are on their way at a time, as with every other client.
async function connectMany(count) {
  const sockets = [];
  let left = count;
  const worker = async () => {
    while (left-- > 0) sockets.push(await connect());
  };
  await Promise.all(Array.from({ length: 50 }, worker));
  return sockets;
}

function emit(socket, n) {
  socket.emit("echo", { ...job.data, n }, (reply) => {
    if (reply.n !== n) throw new Error(`wrong ack: ${JSON.stringify(reply)}`);
    ops++;
    emit(socket, n + 1);
  });
}

function usedKiB() {
  global.gc();
  const text = fs.readFileSync("/proc/self/smaps_rollup", "latin1");
  return [...text.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}

async function main() {
  if (job.mode === "idle") {
    const kept = await connectMany(100);
    await sleep(2000);
    const before = usedKiB();
    kept.push(...(await connectMany(job.users)));
    await sleep(2000);
    return finish({ kib: (usedKiB() - before) / job.users });
  }
  let from = cpu();
  let began = performance.now();
  const sockets = await connectMany(job.users);
  if (job.mode === "connect") {
    return finish({ ops: job.users, cpu: cpu() - from, seconds: (performance.now() - began) / 1e3, total: job.users });
  }
  for (const socket of sockets) {
    if (job.mode === "push") socket.on("news", () => ops++);
    else emit(socket, 1);
  }
  await sleep(1000);
  const before = ops;
  from = cpu();
  began = performance.now();
  await sleep(job.seconds * 1000);
  finish({ ops: ops - before, cpu: cpu() - from, seconds: (performance.now() - began) / 1e3, total: ops });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
