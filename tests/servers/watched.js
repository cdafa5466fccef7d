// A node that tells of itself: prom-client's default metrics at GET /metrics, and @socket.io/admin-ui at /admin.
//
//   node watched.js [--id name] [--busy share] [--mode production] [--app name]
//
// It prints `listening PORT`. With --app all metrics have that label. With --busy it keeps its event loop from going on for
// that share of each 300 ms. GET /counts tells the packets and bytes that its engine took and gave, as they are, and the
// clients.
"use strict";

const http = require("http");
const { parseArgs } = require("util");
const { Server } = require("sio4");
const { instrument } = require("@socket.io/admin-ui");
const bcrypt = require("bcryptjs");
const metrics = require("prom-client");

const { values: options } = parseArgs({
  options: {
    id: { type: "string" },
    busy: { type: "string", default: "0" },
    mode: { type: "string", default: "production" },
    app: { type: "string" },
  },
});

if (options.app) metrics.register.setDefaultLabels({ app: options.app });
metrics.collectDefaultMetrics();
new metrics.Gauge({ name: "app_rooms", help: "Rooms", labelNames: ["kind"] }).set({ kind: "chat" }, 3);

const counts = { clients: 0, in: 0, out: 0, bytesIn: 0, bytesOut: 0 };
const server = http.createServer(async (request, response) => {
  if (request.url.split("?")[0] === "/metrics") {
    response.setHeader("Content-Type", metrics.register.contentType);
    response.end(await metrics.register.metrics());
  } else if (request.url === "/counts") {
    counts.clients = io.engine.clientsCount;
    response.end(JSON.stringify(counts));
  } else {
    response.writeHead(404).end();
  }
});
const io = new Server(server);
const password = bcrypt.hashSync("s3cret/word", 4);
instrument(io, { auth: { type: "basic", username: "admin", password }, mode: options.mode, serverId: options.id });

io.engine.on("connection", (socket) => {
  socket.on("packet", ({ data }) => {
    if (data) (counts.in += 1), (counts.bytesIn += Buffer.byteLength(data));
  });
  socket.on("packetCreate", ({ data }) => {
    if (data) (counts.out += 1), (counts.bytesOut += Buffer.byteLength(data));
  });
});
io.on("connection", (socket) => socket.on("echo", (value, ack) => ack(value)));

const share = Number(options.busy);
if (share > 0) {
  setInterval(() => {
    const until = performance.now() + 300 * share;
    while (performance.now() < until);
  }, 300);
}
server.listen(0, "127.0.0.1", () => console.log(`listening ${server.address().port}`));
