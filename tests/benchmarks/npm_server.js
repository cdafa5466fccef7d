// The real server of the benchmark: npm socket.io 4 with ws, one process. It acknowledges "echo" with its
// arguments, counts, and serves the counts at GET /counts. Prints the port it listens on.
// usage: node npm_server.js NODE_MODULES [OPTIONS]
// OPTIONS is JSON: pem: a file with key and certificate, for TLS; deflate: compress messages of 1 KiB and more; pingInterval in ms; broadcasts: so many, `rate` a second, once `after` users are connected.
"use strict";
const { createRequire } = require("node:module");
const fs = require("node:fs");
const path = require("node:path");

const { Server } = createRequire(path.resolve(process.argv[2], "x.js"))("sio4");
const { pem, deflate = false, pingInterval = 25_000, broadcasts = 0, rate = 1, after = 1 } = JSON.parse(process.argv[3] ?? "{}");
const counts = { connects: 0, emits: 0, acks: 0, pushes: 0, skipped: 0, pongs: 0, broadcasts: 0, closed: {} };
const key = pem && fs.readFileSync(pem);
const { createServer } = require(pem ? "node:https" : "node:http");
const http = createServer(pem ? { key, cert: key } : {}, (request, response) => {
  if (request.url !== "/counts") return response.writeHead(404).end();
  const { user, system } = process.cpuUsage();
  response.setHeader("Connection", "close");
  response.end(JSON.stringify({ ...counts, open: io.engine.clientsCount, cpu: (user + system) / 1e6 }));
});
http.keepAliveTimeout = 60_000; // of one polling request to the next: a busy client mustn't lose its connection
const io = new Server(http, { serveClient: false, pingInterval, perMessageDeflate: deflate });
io.on("connection", (socket) => {
  counts.connects++;
  if (broadcasts && counts.connects === after) setTimeout(broadcast, 2000);
  socket.conn.on("heartbeat", () => counts.pongs++);
  socket.on("disconnect", (reason) => (counts.closed[reason] = (counts.closed[reason] ?? 0) + 1));
  socket.on("echo", (...values) => {
    const ack = values.pop();
    counts.emits++;
    counts.acks++;
    ack(...values);
  });
});
function broadcast() {
  const timer = setInterval(() => {
    if (++counts.broadcasts === broadcasts) clearInterval(timer);
    counts.pushes += io.engine.clientsCount;
    io.emit("news", { n: counts.broadcasts, sent: (performance.timeOrigin + performance.now()) / 1000 });
  }, 1000 / rate);
}
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
