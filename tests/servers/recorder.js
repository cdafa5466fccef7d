// A server that remembers what it is told, for comparing two clients: node recorder.js
// GET /seen: all events as [namespace, event, arguments]; POST /reset forgets them.
// Acks with {ok, id} and a second argument. Answers ask* with the event answer*, and text* with said*.
"use strict";
const { Server } = require("sio4");

let seen = [];
const server = require("http").createServer((req, res) => {
  const path = new URL(req.url, "http://x").pathname;
  const json = (body) => {
    res.writeHead(200, { "content-type": "application/json", "x-token": "header-token" });
    res.end(JSON.stringify(body));
  };
  let body = "";
  req.on("data", (data) => (body += data)).on("end", () => {
    if (path === "/seen") return json(seen);
    if (path === "/reset") return (seen = []), json({});
    seen.push(["http", `${req.method} ${req.url}`, body ? [body] : []]);
    json(path === "/rooms" ? [{ id: "r-1", ok: true }, { id: "r-2", ok: false }] : { token: "token-1", ok: true, n: 7 });
  });
});

const io = new Server(server, { cors: { origin: "*" } });
function connected(socket) {
  const auth = { ...socket.handshake.auth };
  const { EIO, transport, t, sid, ...query } = socket.handshake.query;
  const headers = Object.entries(socket.handshake.headers).filter(([name]) => name.startsWith("x-"));
  const told = { ...auth, ...query, ...Object.fromEntries(headers) };
  if (Object.keys(told).length) seen.push([socket.nsp.name, "(connected)", [told]]);
  socket.onAny((event, ...args) => {
    const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
    seen.push([socket.nsp.name, event, args]);
    if (ack) ack({ ok: true, id: `id-${event}`, tags: ["a", "b"] }, "second");
    if (event.startsWith("ask")) socket.emit(event.replace("ask", "answer"), { ok: true, id: "answer-1", got: args[0] });
    if (event.startsWith("text")) socket.emit(event.replace("text", "said"), "first", "well said");
  });
}
io.on("connection", connected);
io.of(/./).on("connection", connected);
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
