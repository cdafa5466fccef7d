// One real Socket.IO server of any generation, with the same events on each.
//
//   node --no-deprecation server.js --lib sio4 --port 0 [--ping-interval ms] [--ping-timeout ms] [--allow-eio3]
//     [--msgpack] [--recovery] [--transports polling,websocket] [--max-payload bytes] [--deflate] [--cookie]
//     [--refuse-upgrade] [--cert file --key file] [--stream-ids] [--no-offsets] [--dismiss ms] [--login]
//     [--old-names 1.0|1.4] [--any-engine] [--slow-root ms] [--no-upgrades]
//
// It prints `listening PORT`. Namespaces: `/` (refused with the query deny=1), `/chat` (open) and `/private` (wants
// token=secret in the auth payload or the query). HTTP: GET /health, GET /counts, GET /requests, GET /buffered, POST /reset,
// POST /login (sets a cookie, whoever asks).
"use strict";

const fs = require("fs");
const { parseArgs } = require("util");

const { values: options } = parseArgs({
  options: {
    lib: { type: "string", default: "sio4" },
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "0" },
    "ping-interval": { type: "string" },
    "ping-timeout": { type: "string" },
    "allow-eio3": { type: "boolean", default: false },
    msgpack: { type: "boolean", default: false },
    recovery: { type: "boolean", default: false },
    dismiss: { type: "string" },
    login: { type: "boolean", default: false },
    "old-names": { type: "string" },
    "slow-root": { type: "string" },
    "no-upgrades": { type: "boolean", default: false },
    "any-engine": { type: "boolean", default: false },
    "stream-ids": { type: "boolean", default: false },
    "no-offsets": { type: "boolean", default: false },
    transports: { type: "string" },
    "max-payload": { type: "string" },
    deflate: { type: "boolean", default: false },
    cookie: { type: "boolean", default: false },
    "refuse-upgrade": { type: "boolean", default: false },
    cert: { type: "string" },
    key: { type: "string" },
  },
});
const generation = Number(options.lib.slice(-1));
const NAMESPACES = ["/", "/chat", "/private"];
const TEXT = "€😀é";
const NOTHING = new Int32Array(new SharedArrayBuffer(4)); // to wait for
const REQUESTS_KEPT = 2000;

// ---- counting

let counts;
let requests;

function reset() {
  counts = { received: {}, acks: {}, sent: {}, connects: {}, refused: {}, disconnects: {}, reasons: {} };
  for (const table of Object.values(counts)) for (const nsp of NAMESPACES) table[nsp] = {};
  for (const nsp of NAMESPACES) counts.connects[nsp] = counts.refused[nsp] = counts.disconnects[nsp] = 0;
  requests = [];
}

function add(table, nsp, name, n = 1) {
  counts[table][nsp][name] = (counts[table][nsp][name] || 0) + n;
}

reset();

// ---- plain HTTP

function json(res, status, body, more = {}) {
  res.writeHead(status, { "content-type": "application/json", ...more });
  res.end(JSON.stringify(body));
}

function http(req, res) {
  const path = req.url.split("?")[0];
  if (path === "/health" || path === "/") json(res, 200, { ok: true, lib: options.lib });
  else if (path === "/counts") json(res, 200, counts);
  else if (path === "/requests") json(res, 200, requests);
  else if (path === "/buffered") json(res, 200, buffered());
  else if (path === "/reset" && req.method === "POST") json(res, 200, { ok: true }, reset());
  else if (path === "/login" && req.method === "POST") {
    req.resume();
    json(res, 200, { ok: true, token: "secret" }, { "set-cookie": "session=1; Path=/; HttpOnly" });
  } else json(res, 404, { ok: false, error: `no ${req.method} ${path} here` });
}

// What waits in this process to be sent to each client of the root, in bytes (2.x and later, websockets).
function buffered() {
  return [...members["/"].keys()].map((socket) => {
    const carrier = socket.conn.transport.socket;
    const queue = socket.conn.writeBuffer;
    return (carrier ? carrier.bufferedAmount : 0) + queue.reduce((sum, packet) => sum + (packet.data || "").length, 0);
  });
}

const cutting = new Set(); // sids of polling sessions whose next GET is to be cut

function record(req) {
  const [path, query] = req.url.split("?");
  const sid = new URLSearchParams(query).get("sid") || path.split("/")[4]; // 0.9: /socket.io/1/xhr-polling/<sid>
  if (req.method === "GET" && cutting.delete(sid)) req.socket.destroy();
  const own = /^\/(health|counts|requests|reset|login)?(\?|$)/.test(req.url);
  if (!own && requests.length < REQUESTS_KEPT)
    requests.push({ method: req.method, url: req.url, headers: req.headers, at: Date.now(), peer: req.socket.remoteAddress });
}

const tls = options.cert && { cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key) };
const server = tls ? require("https").createServer(tls, http) : require("http").createServer(http);

// ---- the generations

function settings() {
  const given = {};
  const interval = Number(options["ping-interval"] || 25000);
  const timeout = Number(options["ping-timeout"] || 20000);
  if (generation === 0) {
    const seconds = (ms) => Math.max(1, Math.round(ms / 1000));
    Object.assign(given, { log: false, "flash policy server": false, "browser client": false });
    given["heartbeat interval"] = seconds(interval);
    given["heartbeat timeout"] = given["close timeout"] = seconds(interval + timeout);
    given["polling duration"] = Math.min(20, seconds(interval));
    if (options.transports) given.transports = options.transports.replace("polling", "xhr-polling").split(",");
    if (options["max-payload"]) given["destroy buffer size"] = Number(options["max-payload"]);
    return given;
  }
  given.serveClient = false;
  if (options["ping-interval"]) given.pingInterval = interval;
  if (options["ping-timeout"]) given.pingTimeout = timeout;
  if (options["max-payload"]) given.maxHttpBufferSize = Number(options["max-payload"]);
  if (options.transports) given.transports = options.transports.split(",");
  if (options["allow-eio3"]) given.allowEIO3 = true;
  if (options["no-upgrades"]) given.allowUpgrades = false;
  if (options.login) given.allowRequest = loggedIn;
  if (options.deflate) given.perMessageDeflate = { threshold: 0 };
  if (options.cookie) given.cookie = generation < 3 ? "io" : true;
  if (options.msgpack) given.parser = require("socket.io-msgpack-parser");
  if (options.recovery) given.connectionStateRecovery = { maxDisconnectionDuration: 120000 };
  if (options["stream-ids"]) given.adapter = streamIds();
  if (options["no-offsets"]) given.adapter = noOffsets();
  return given;
}

// Nobody opens a session without the cookie of a login.
function loggedIn(req, done) {
  const known = /session=1/.test(req.headers.cookie || "");
  if (!known) counts.refused["/"]++;
  done(known ? null : "forbidden", known);
}

// Recovery with offsets in the form of Redis streams, as the adapters of several nodes give them.
function streamIds() {
  const home = require.resolve(options.lib);
  const { Adapter, SessionAwareAdapter } = require(require.resolve("socket.io-adapter", { paths: [home] }));
  let n = 0;
  return class extends SessionAwareAdapter {
    broadcast(packet, opts) {
      if (packet.type === 2 && packet.id === undefined && !(opts.flags && opts.flags.volatile)) {
        const id = `${Date.now()}-${n++}`;
        packet.data.push(id);
        this.packets.push({ id, opts, data: packet.data, emittedAt: Date.now() });
      }
      Adapter.prototype.broadcast.call(this, packet, opts);
    }
  };
}

// Recovery that is on with an adapter of several nodes that has none: it puts null in the place of an offset.
function noOffsets() {
  const home = require.resolve(options.lib);
  const { ClusterAdapter } = require(require.resolve("socket.io-adapter", { paths: [home] }));
  return class extends ClusterAdapter {
    async doPublish() {}
    async doPublishResponse() {}
  };
}

function refuse(nsp, query, auth) {
  if (nsp === "/private") return (auth && auth.token) !== "secret" && query.token !== "secret";
  return nsp === "/" && query.deny === "1";
}

function refusal(nsp) {
  counts.refused[nsp]++;
  const error = new Error("not authorized");
  error.data = { code: 401 };
  return error;
}

function start09() {
  // It takes its handlers off before its last write, and a connection reset then would end this process.
  server.on("connection", (socket) => socket.on("error", () => {}));
  const io = require(options.lib).listen(server, settings());
  io.set("authorization", (data, done) => {
    const refused = refuse("/", data.query);
    if (refused) refusal("/");
    done(null, !refused);
  });
  for (const nsp of NAMESPACES) {
    const space = nsp === "/" ? io.sockets : io.of(nsp);
    if (nsp === "/private")
      space.authorization((data, done) => {
        const refused = refuse(nsp, data.query);
        if (refused) refusal(nsp);
        done(null, !refused);
      });
    space.on("connection", (socket) => {
      if (!socket.seen) {
        // The same object comes back when a client leaves this namespace and joins it again.
        socket.seen = true;
        const heard = socket.$emit;
        socket.$emit = function (name) {
          if (!["disconnect", "error", "newListener"].includes(name)) add("received", nsp, name);
          return heard.apply(this, arguments);
        };
        register(io, socket, nsp);
      }
      joined(socket, nsp);
    });
  }
}

// What comes of a query in a namespace's name before 1.5, as `Client.prototype.ondecoded` was (1.7 otherwise), and
// in 1.0 `connect`, which makes each namespace that is asked for.
function oldNames() {
  const { prototype } = require(`${options.lib}/lib/client`);
  const { ondecoded, connect } = prototype;
  prototype.ondecoded = function (packet) {
    packet.type === 0 ? this.connect(packet.nsp) : ondecoded.call(this, packet);
  };
  prototype.connect = function (name) {
    if (options["old-names"] === "1.0") this.server.of(name);
    return connect.call(this, name);
  };
}

function start() {
  if (options["old-names"]) oldNames();
  const io = require(options.lib)(server, settings());
  for (const nsp of NAMESPACES) {
    const space = io.of(nsp);
    space.use((socket, next) => {
      const { query, auth } = socket.handshake;
      const done = () => next(refuse(nsp, query, auth) ? refusal(nsp) : undefined);
      nsp === "/" && options["slow-root"] ? setTimeout(done, Number(options["slow-root"])) : done();
    });
    space.on("connection", (socket) => {
      socket.use(([name], next) => {
        add("received", nsp, name);
        next(name === "forbidden" ? new Error("not allowed") : undefined);
      });
      register(io, socket, nsp);
      joined(socket, nsp);
    });
  }
}

// ---- connections, as each generation holds them

const members = Object.fromEntries(NAMESPACES.map((nsp) => [nsp, new Map()])); // socket -> its rooms

function joined(socket, nsp) {
  counts.connects[nsp]++;
  members[nsp].set(socket, new Set());
  if (options.dismiss) setTimeout(() => socket.disconnect(true), Number(options.dismiss));
}

function left(socket, nsp, reason) {
  clearInterval(socket.ticking);
  if (!members[nsp].delete(socket)) return;
  counts.disconnects[nsp]++;
  add("reasons", nsp, String(reason));
}

function transport(io, socket) {
  return generation === 0 ? io.transports[socket.id] : socket.conn.transport;
}

// Ends the connection below Socket.IO: the session says goodbye in its transport's way.
function close(io, socket) {
  if (generation === 0) transport(io, socket).end("closed by the test");
  else socket.conn.close();
}

// Ends the TCP connection in the middle of whatever it was doing, with nothing said.
function cut(io, socket) {
  const carrier = transport(io, socket);
  if (generation === 0) {
    if (carrier.open) carrier.req.socket.destroy();
    else cutting.add(socket.id);
  } else if (carrier.name === "websocket") carrier.socket._socket.destroy();
  else if (carrier.req) carrier.req.socket.destroy();
  else cutting.add(socket.conn.id);
}

// From now on this connection gets no heartbeat and no answer to one.
function mute(io, socket) {
  if (generation === 0) {
    transport(io, socket).clearHeartbeatInterval();
    transport(io, socket).clearHeartbeatTimeout();
    return;
  }
  const conn = socket.conn;
  const send = conn.sendPacket;
  conn.sendPacket = function (type) {
    if (type !== "ping" && type !== "pong") send.apply(conn, arguments);
  };
  for (const timer of ["pingTimeoutTimer", "pingIntervalTimer"]) clearTimeout(conn[timer]);
}

function saw(io, socket) {
  const { query, headers, auth, url } = socket.handshake;
  return {
    query: { ...query },
    auth: auth || null,
    url: url || null,
    headers: { ...headers },
    authorization: headers.authorization || null,
    cookie: headers.cookie || null,
    transport: transport(io, socket).name,
    recovered: socket.recovered || false,
  };
}

// ---- the events: each gets the arguments and, when an ack was asked for, `reply`

function register(io, socket, nsp) {
  const space = generation === 0 && nsp === "/" ? io.sockets : io.of(nsp);

  function push(name, ...args) {
    add("sent", nsp, name);
    socket.emit(name, ...args);
  }

  function shout(room, name, ...args) {
    const receivers = [...members[nsp].values()].filter((rooms) => room === undefined || rooms.has(room)).length;
    if (receivers) add("sent", nsp, name, receivers);
    (room === undefined ? space : space.in(room)).emit(name, ...args);
    return receivers;
  }

  function tick(name, rate, reply) {
    clearInterval(socket.ticking);
    if (reply) reply({ ok: true, rate });
    if (rate > 0)
      socket.ticking = setInterval(() => {
        socket.ticked = (socket.ticked === undefined ? -1 : socket.ticked) + 1;
        push(name, { n: socket.ticked, sent: Date.now() / 1000 });
      }, 1000 / rate);
  }

  function enter(room, reply, answer) {
    socket.join(room);
    members[nsp].get(socket).add(room);
    if (reply) reply(answer);
  }

  function leave(room, reply, answer) {
    socket.leave(room);
    members[nsp].get(socket).delete(room);
    if (reply) reply(answer);
  }

  const named = (value) => (value && typeof value === "object" ? value.room : value);

  const events = {
    echo: (args, reply) => (reply ? reply(...args) : push("echo", ...args)),
    binary: (args, reply) => (reply ? reply(...args) : push("binary", ...args)),
    utf: (args, reply) => (reply ? reply(TEXT) : push("utf", TEXT)),
    handshake: (args, reply) => (reply ? reply(saw(io, socket)) : push("handshake", saw(io, socket))),
    noargs: (args, reply) => reply && reply(),
    three: (args, reply) => reply && reply(args.length, args),
    silent: () => {}, // never acks
    message: (args, reply) => {
      const room = args[0] && typeof args[0] === "object" ? args[0].room : undefined;
      shout(room, "message", ...args);
      if (reply) reply({ ok: true });
    },
    delay: ([seconds], reply) => {
      const begun = process.hrtime.bigint();
      setTimeout(() => reply && reply(Number(process.hrtime.bigint() - begun) / 1e9), seconds * 1000);
    },
    // Nothing else runs in this process meanwhile, as in a handler that computes; but it takes no core from others.
    busy: ([ms], reply) => {
      Atomics.wait(NOTHING, 0, 0, ms);
      if (reply) reply();
    },
    ask: (args, reply) => {
      // The parameter makes 0.9 ask for an ack with data.
      push("question", ...args, function (first) { push("answered", [...arguments]); }); // prettier-ignore
      if (reply) reply();
    },
    broadcast: (args, reply) => {
      const receivers = shout(undefined, "broadcast", ...args);
      if (reply) reply(receivers);
    },
    burst: ([n], reply) => {
      for (let i = 0; i < Math.min(n, 100000); i++) push("burst", i);
      if (reply) reply(n);
    },
    tick: ([rate], reply) => tick("tick", rate, reply),
    subscribe: ([asked], reply) => tick("news", typeof asked === "object" ? asked.rate : asked, reply),
    join: ([room], reply) => enter(named(room), reply, { ok: true, room: named(room) }),
    leave: ([room], reply) => leave(named(room), reply, { ok: true, room: named(room) }),
    1: (args, reply) => reply && reply("one", ...args), // events whose names are numbers
    push: ([name, ...args]) => push(name, ...args),
    forbidden: () => generation === 0 && socket.packet({ type: "error", reason: "unauthorized" }),
    kick: () => socket.disconnect(),
    close: () => close(io, socket),
    cut: () => cut(io, socket),
    mute: (args, reply) => {
      if (reply) reply();
      mute(io, socket);
    },
    // What Locust's own example of a Socket.IO user emits and expects.
    join_room: ([{ room }], reply) => {
      enter(room, reply, `Joined room ${room}`);
      shout(room, "room_joined", room);
    },
    leave_room: ([{ room }], reply) => leave(room, reply, `Left room ${room}`),
    send_message: ([{ room, message }], reply) => {
      shout(room, "chat_message", room, message);
      if (reply) reply();
    },
  };

  for (const [name, handle] of Object.entries(events))
    socket.on(name, (...args) => {
      const ack = typeof args[args.length - 1] === "function" ? args.pop() : null;
      const reply = ack && ((...answer) => (add("acks", nsp, name), ack(...answer)));
      try {
        handle(args, reply);
      } catch (error) {
        console.error(`${name}: ${error.stack}`);
      }
    });
  socket.on("disconnect", (reason) => left(socket, nsp, reason));
  socket.on("error", (error) => add("reasons", nsp, `error: ${error && error.message}`));
}

// ---- go

if (generation === 0) start09();
else start();
server.prependListener("request", record);
server.prependListener("upgrade", record);
// 3.0 opens whatever revision of Engine.IO is asked for.
if (options["any-engine"]) server.prependListener("upgrade", (req) => (req.url = req.url.replace("EIO=3", "EIO=4")));
if (options["refuse-upgrade"]) {
  server.removeAllListeners("upgrade");
  server.on("upgrade", (req, socket) => (record(req), socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")));
}
server.listen(Number(options.port), options.host, () => console.log(`listening ${server.address().port}`));
