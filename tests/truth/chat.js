// A sound chat of rooms on npm's socket.io: on one node, or on several behind a proxy that deals connections in turn.
//
//   node chat.js MODULES NODES ADAPTER
//
// ADAPTER is `cluster` (@socket.io/cluster-adapter) or `none`, which leaves the nodes without a word to each other.
// It prints `listening PORT`; with `{"log": true}` in a message also a line of JSON when somebody joins (node, room)
// and for each message (node, room, id, and when each copy was written). A message with `apart` goes out to one
// member after the other, so many milliseconds apart.
"use strict";

const cluster = require("cluster");
const net = require("net");
const path = require("path");
const [modules, nodes, adapter] = process.argv.slice(2);
const load = (name) => require(path.join(modules, name));

function node(port, ready) {
  const http = require("http").createServer();
  const io = new (load("sio4").Server)(http);
  if (adapter === "cluster") io.adapter(load("@socket.io/cluster-adapter").createAdapter());
  const now = () => (performance.timeOrigin + performance.now()) / 1000;
  const log = (line) => console.log(JSON.stringify({ node: process.pid, ...line }));
  io.on("connection", (socket) => {
    socket.on("join", (room, loud, answer) => {
      socket.join(room);
      if (loud) log({ joined: room });
      answer();
    });
    socket.on("enter", (room, late, answer) => (socket.join(room), setTimeout(answer, late)));
    socket.on("leave", (room, answer) => (socket.leave(room), answer()));
    socket.on("say", (message, answer) => {
      const { room, id, apart, log: loud } = message;
      if (apart) {
        message.sent = now();
        const written = [];
        const members = [...io.sockets.adapter.rooms.get(room)];
        members.forEach((member, k) =>
          setTimeout(() => {
            written.push(now() - message.sent);
            io.sockets.sockets.get(member).emit("message", message);
            if (written.length === members.length && loud) log({ said: room, id, written });
          }, k * apart),
        );
      } else {
        io.to(room).emit("message", message);
        if (loud) log({ said: room, id });
      }
      answer();
    });
  });
  http.listen({ port, host: "127.0.0.1", exclusive: true }, () => ready(http.address().port));
}

if (!cluster.isPrimary) {
  node(0, (port) => process.send({ port }));
} else if (nodes === "1") {
  node(0, (port) => console.log(`listening ${port}`));
} else {
  if (adapter === "cluster") load("@socket.io/cluster-adapter").setupPrimary();
  const ports = [];
  let dealt = 0;
  const proxy = net.createServer((socket) => {
    const to = net.connect(ports[dealt++ % ports.length], "127.0.0.1");
    for (const [from, into] of [[socket, to], [to, socket]]) {
      from.pipe(into);
      from.on("error", () => into.destroy());
    }
  });
  for (let i = 0; i < Number(nodes); i++) {
    cluster.fork().on("message", (told) => {
      if (told.port && ports.push(told.port) === Number(nodes)) proxy.listen(0, "127.0.0.1", () => console.log(`listening ${proxy.address().port}`));
    });
  }
}
