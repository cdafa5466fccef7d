// The real server of the benchmark: npm socket.io 4 with ws, one process. It acknowledges "echo" with its
// arguments, counts, and serves the counts at GET /counts. Prints the port it listens on.
// usage: node npm_server.js NODE_MODULES
"use strict";
const { createRequire } = require("node:module");
const { createServer } = require("node:http");
const path = require("node:path");

const { Server } = createRequire(path.resolve(process.argv[2], "x.js"))("sio4");
const counts = { connects: 0, emits: 0, acks: 0, pushes: 0, skipped: 0 };
const http = createServer((request, response) => {
  if (request.url !== "/counts") return response.writeHead(404).end();
  const { user, system } = process.cpuUsage();
  response.setHeader("Connection", "close");
  response.end(JSON.stringify({ ...counts, open: io.engine.clientsCount, cpu: (user + system) / 1e6 }));
});
http.keepAliveTimeout = 60_000; // of one polling request to the next: a busy client mustn't lose its connection
const io = new Server(http, { serveClient: false });
io.on("connection", (socket) => {
  counts.connects++;
  socket.on("echo", (value, ack) => {
    counts.emits++;
    counts.acks++;
    ack(value);
  });
});
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
