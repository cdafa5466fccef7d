// The server of tests/importing/recordings/chat.har: a login over HTTP, rooms, acks both ways, an event for an answer.
"use strict";
const crypto = require("crypto");
const { Server } = require("sio4");

const tokens = new Set();
const server = require("http").createServer((req, res) => {
  const json = (body, headers = {}) => {
    res.writeHead(200, { "content-type": "application/json", ...headers });
    res.end(JSON.stringify(body));
  };
  if (req.method === "POST" && req.url === "/api/login") {
    let body = "";
    req.on("data", (data) => (body += data)).on("end", () => {
      const token = crypto.randomBytes(12).toString("hex");
      tokens.add(token);
      const cookie = `sid=${crypto.randomBytes(6).toString("hex")}; Path=/; HttpOnly`;
      json({ token, user: JSON.parse(body).user }, { "set-cookie": cookie });
    });
  } else if (req.url === "/api/rooms" && tokens.has((req.headers.authorization || "").slice(7))) {
    json([{ id: "r-17", title: "General" }, { id: "r-23", title: "Random" }]);
  } else {
    res.writeHead(401);
    res.end();
  }
});
const io = new Server(server, { path: "/live/", pingInterval: 3000, pingTimeout: 2000 });
const auth = (socket, next) => (tokens.has(socket.handshake.auth.token) ? next() : next(new Error("not logged in")));
io.use(auth);
io.on("connection", (socket) => {
  socket.emit("hello", { id: socket.id, users: 3 });
  setInterval(() => socket.connected && socket.emit("clock", Date.now()), 1000).unref();
});
let count = 0;
const chat = io.of("/chat").use(auth);
chat.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack({ ok: true, members: 4, history: [{ id: `m${++count}`, text: "welcome" }] });
    socket.emit("presence", { room, user: "bot", state: "online" });
  });
  socket.on("message", (message, ack) => {
    const id = `m${++count}`;
    chat.to(message.room).emit("message", { ...message, id, ts: Date.now() });
    ack({ ok: true, id });
  });
  socket.on("typing", (room) => socket.to(room).emit("typing", { room }));
  socket.on("search", (q) => setTimeout(() => socket.emit("search result", { q, hits: [{ id: "m1" }] }), 40));
  socket.on("upload", (name, data, ack) => ack({ ok: true, name, size: data.length }));
  socket.on("react", (id, emoji, ack) => ack(null, { id, emoji, count: 1 }));
  setTimeout(() => socket.connected && socket.emit("confirm", "are you there?", (a) => socket.emit("confirmed", a)), 2500);
});
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
