// A Socket.IO server that writes down who came and went, in a file that outlives it: `outages.js PORT FILE [recovery] [pings]`.
// GET /dismiss sends all users away, as servers do that end in order.
"use strict";

const fs = require("fs");
const http = require("http").createServer();
const { Server } = require("sio4");

const [port, file, ...how] = process.argv.slice(2);
const recovery = how.includes("recovery");
const write = (what) => fs.appendFileSync(file, `${JSON.stringify({ at: (performance.timeOrigin + performance.now()) / 1000, ...what })}\n`);
const options = how.includes("pings") ? { pingInterval: 1000, pingTimeout: 1000 } : {};
if (recovery) options.connectionStateRecovery = {};
const io = new Server(http, options);
io.on("connection", (socket) => {
  write({ came: socket.recovered ? "back" : "new" });
  socket.on("echo", (data, reply) => reply(data));
  socket.on("disconnect", (reason) => write({ went: reason }));
});
if (recovery) setInterval(() => io.emit("tick"), 300); // a session is recovered from the last event that it had
http.on("request", (req, res) => {
  if (req.url !== "/dismiss") return;
  io.disconnectSockets();
  res.end();
});
http.listen(Number(port), "127.0.0.1", () => {
  write({ began: process.pid });
  console.log(`listening ${http.address().port}`);
});
