// A Socket.IO server that misbehaves by plan towards the members of rooms.
//
//   node rooms.js LIB PORT USERS [PLAN...]
//
// It prints `listening PORT`. Each user says `enter` and is told who it is and in which rooms; once USERS of them
// have, messages go out in three parts: before, during and after a change of who is where. Each plan has an event
// of its own and two rooms, of the even and of the odd users; the last four users are in the rooms of one plan
// each. What should come of it is written in test_audience.py.
"use strict";

const [lib, port, users, ...plans] = process.argv.slice(2);
const { Server } = require(lib);
const http = require("http").createServer();
const io = new Server(http, { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } });

const PART = 10; // messages to each room in each part
const [SETTLED, BEFORE, AFTER] = [2100, 1400, 2800]; // ms: the grace is 600
const COMMON = users - 4;
const OWN = { cut: COMMON, back: COMMON + 1, replay: COMMON + 2, history: COMMON + 3 }; // in room 0 of that plan
const sockets = new Map(); // name to socket
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const name = (number) => `u${number}`;
const members = (plan, half) => {
  const found = [];
  for (let i = half; i < COMMON; i += 2) found.push(name(i));
  if (half === 0 && plan in OWN && plan !== "history") found.push(name(OWN[plan]));
  return found;
};

// Whom one message goes to, where that isn't who is in its room: n counts its room's messages from 1.
const WRONG = {
  tenth: (to, half, n) => (half === 0 && n % 10 === 0 ? to.filter((user) => user !== "u0") : to),
  unjoined: (to, half) => (half === 0 ? to.filter((user) => user !== "u2") : to),
  wrong: (to, half, n) => (half === 0 && n === 5 ? members("wrong", 1) : to),
  twice: (to, half, n) => (half === 0 && n === 7 ? [...to, "u4"] : to),
  last: (to, half, n) => (half === 0 && n === 3 * PART ? to.filter((user) => user !== "u0") : to),
  without: (to, half) => to.filter((user) => user !== name(half)),
};

const sent = new Map(); // plan and half to messages
function say(plan, half) {
  const room = `${plan}-${half}`;
  const all = sent.get(room) ?? [];
  sent.set(room, all);
  const message = { room, id: `${room}-${all.length + 1}`, sent: Date.now() / 1000 };
  if (plan === "without" || plan === "echoed") message.from = name(half);
  all.push(message);
  if (plan in WRONG) for (const user of WRONG[plan](members(plan, half), half, all.length)) sockets.get(user).emit(plan, message);
  else io.to(room).emit(plan, message);
}
async function part() {
  for (let i = 0; i < PART; i++) {
    for (const plan of plans) for (const half of [0, 1]) say(plan, half);
    await pause(4);
  }
}

async function play() {
  await pause(SETTLED);
  await part();
  await pause(BEFORE);
  if (plans.includes("leave")) sockets.get("u0").emit("do", "leave", "leave-0");
  if (plans.includes("history")) sockets.get(name(OWN.history)).emit("do", "join", "history-0");
  for (const plan of ["cut", "back", "replay"].filter((plan) => plans.includes(plan))) {
    const socket = sockets.get(name(OWN[plan]));
    const { pid } = socket;
    socket.conn.transport.socket.terminate();
    // The first is not to be recovered.
    if (plan === "cut") setTimeout(() => io.of("/").adapter.sessions.delete(pid), 5);
  }
  await part();
  await pause(AFTER);
  await part();
}

io.on("connection", (socket) => {
  if (socket.recovered) sockets.set(socket.data.name, socket);
  const joined = (me, answer) => {
    socket.data.name = me;
    sockets.set(me, socket);
    const rooms = [];
    for (const plan of plans) for (const half of [0, 1]) if (members(plan, half).includes(me)) rooms.push(`${plan}-${half}`);
    socket.join(rooms);
    answer({ me, rooms });
  };
  socket.on("enter", (kind, answer) => {
    // Those who come back late have a class of their own.
    const taken = (number) => sockets.has(name(number));
    let number = kind === "slow" ? OWN.replay : 0;
    while (taken(number) || (kind !== "slow" && number === OWN.replay)) number++;
    joined(name(number), answer);
    if (sockets.size === Number(users)) play();
  });
  socket.on("again", joined);
  socket.on("leave", (room, answer) => (socket.leave(room), answer()));
  socket.on("join", (room, answer) => {
    socket.join(room);
    for (const message of sent.get(room).slice(0, 5)) socket.emit(room.split("-")[0], message);
    answer();
  });
});
http.listen(Number(port), "127.0.0.1", () => console.log(`listening ${http.address().port}`));
