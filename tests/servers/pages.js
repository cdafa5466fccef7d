// A chat with its own page, for recordings: node pages.js --lib sio4 --client client4 [--parser msgpack] [--path /live/]
// GET /?transports=polling,websocket opens the page, which does the same each time and then has the title "done".
// GET /told: all that a client said, as [what, ...]: requests, handshakes, events, acks; POST /forget begins anew. What the
// server made up (tokens, ids) stands there by its name.
"use strict";
const fs = require("fs");
const crypto = require("crypto");
const { parseArgs } = require("util");

const { values: options } = parseArgs({
  options: {
    lib: { type: "string" },
    client: { type: "string" },
    parser: { type: "string", default: "json" },
    path: { type: "string", default: "/socket.io/" },
  },
});
const old = Number(options.lib.slice(-1)) < 3;
const bundle = options.parser === "msgpack" ? "socket.io.msgpack.min.js" : "socket.io.js";
const script = fs.readFileSync(`${__dirname}/node_modules/${options.client}/dist/${bundle}`);

let told = [];
let count = 0;
const names = new Map(); // what the server made up -> what it stands for
const made = (kind, text) => (names.set(text, `<${kind}>`), text);
const random = () => crypto.randomBytes(12).toString("hex");
const masked = (value) => {
  if (typeof value === "string") return names.get(value) || value;
  if (Buffer.isBuffer(value)) return `(${value.length} bytes) ${value.toString("hex")}`;
  if (Array.isArray(value)) return value.map(masked);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, key === "at" ? "<time>" : masked(inner)]));
  }
  return value;
};
const tell = (...what) => told.push(masked(what));

const server = require("http").createServer((req, res) => {
  const path = new URL(req.url, "http://x").pathname;
  const json = (body, headers = {}) => {
    res.writeHead(200, { "content-type": "application/json", ...headers });
    res.end(JSON.stringify(body));
  };
  const send = (type, body) => (res.writeHead(200, { "content-type": type }), res.end(body));
  if (path === "/told") return json(told);
  if (path === "/client.js") return send("text/javascript", script);
  if (path === "/favicon.ico") return res.writeHead(404), res.end();
  if (path === "/") return send("text/html", page);
  let body = "";
  req.on("data", (data) => (body += data)).on("end", () => {
    if (path === "/forget") return (told = []), json({});
    const cookie = (req.headers.cookie || "").replace(/^session=/, "");
    const bearer = (req.headers.authorization || "").replace(/^Bearer /, "");
    tell("http", req.method, path, body ? JSON.parse(body) : null, cookie, bearer);
    if (path === "/login") {
      const session = made("session", random());
      return json({ token: made("token", random()), name: "ann" }, { "set-cookie": `session=${session}; Path=/; HttpOnly` });
    }
    json([{ id: made("room", `room-${random().slice(0, 4)}`), title: "General" }]);
  });
});

const more = options.parser === "msgpack" ? { parser: require("socket.io-msgpack-parser") } : {};
const io = require(options.lib)(server, { path: options.path, pingInterval: 2000, pingTimeout: 2000, ...more });
const tokenOf = (socket) => (old ? socket.handshake.query.token : socket.handshake.auth.token);
for (const name of ["/", "/chat"]) {
  const space = io.of(name);
  space.use((socket, next) => (names.has(tokenOf(socket)) ? next() : next(new Error("not logged in"))));
  space.on("connection", (socket) => {
    const cookie = (socket.handshake.headers.cookie || "").replace(/^session=/, "");
    tell("connect", name, tokenOf(socket), cookie);
    if (name === "/") {
      socket.emit("welcome", { me: made("me", random()) });
      socket.emit("clock", Date.now());
    } else {
      setTimeout(() => socket.emit("are you there", 1, (...answer) => tell("ack", "are you there", ...answer)), 150);
    }
    const on = (event, handler) =>
      socket.on(event, (...args) => {
        const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
        tell("event", name, event, ack ? "ack" : "", ...args);
        handler(ack, ...args);
      });
    on("present", () => {});
    on("join", (ack, room) => (socket.join(room), ack({ ok: true, members: 1 })));
    on("typing", () => {});
    on("message", (ack, message) => {
      const id = made("id", `m${++count}`);
      space.to(message.room).emit("message", { ...message, id, ts: Date.now() });
      ack({ ok: true, id });
    });
    on("react", (ack, id, emoji) => ack(null, { id, emoji }));
    on("search", (ack, text) => socket.emit("search result", { text, hits: [] }));
    on("upload", (ack, file, data) => ack({ ok: true, size: data.length }));
    on("vote", (ack, choice) => ack({ ok: true, choice }));
    on("bye", () => {});
  });
}

const page = `<!doctype html><meta charset=utf-8><title>chat</title><script src="/client.js"></script><script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const call = (socket, ...args) => new Promise((done) => socket.emit(...args, (...answer) => done(answer)));
(async () => {
  const login = await (await fetch("/login", {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ user: "ann", password: "pw-of-ann" }),
  })).json();
  const rooms = await (await fetch("/rooms", { headers: { authorization: "Bearer " + login.token } })).json();
  const transports = new URLSearchParams(location.search).get("transports").split(",");
  const options = { path: ${JSON.stringify(options.path)}, transports, ${old ? "query" : "auth"}: { token: login.token } };
  const main = io(options), chat = io("/chat", options);
  main.on("clock", () => {});
  chat.on("message", () => {});
  chat.on("are you there", (number, ack) => ack("yes", number));
  const welcome = await new Promise((done) => main.on("welcome", done));
  if (!chat.connected) await new Promise((done) => chat.on("connect", done)); // else the server hears of it before or after what follows
  main.emit("present", welcome.me);
  if (transports.length > 1) while (main.io.engine.transport.name !== "websocket") await wait(20);
  await call(chat, "join", rooms[0].id);
  await wait(400);
  chat.emit("typing", rooms[0].id);
  await wait(350);
  const [said] = await call(chat, "message", { room: rooms[0].id, text: "h\\u00e9llo \\u20ac\\ud83d\\ude00", at: Date.now() });
  await wait(350);
  await call(chat, "react", said.id, "\\ud83d\\udc4d");
  const result = new Promise((done) => chat.on("search result", done));
  chat.emit("search", "welcome");
  await result;
  await wait(350);
  await call(chat, "upload", "a.bin", new Uint8Array([1, 2, 3, 250, 255]).buffer);
  for (const choice of ["red", "green", "blue"]) {
    await wait(310);
    await call(chat, "vote", choice);
  }
  await wait(350);
  chat.emit("bye");
  await wait(300);
  chat.disconnect();
  main.disconnect();
  await wait(100);
  document.title = "done";
})();
</script>`;
server.listen(0, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
