// A chat in small rooms in which much is said, whoever listens: npm's socket.io.
//
//   node rooms.js LIB USERS SIZE PER_SECOND
//
// Users say `enter` and are told their room, of SIZE users each. Once USERS have, PER_SECOND messages with ids of
// their own go to the rooms in turn, as many as the clock says. It prints `listening PORT`.
"use strict";

const [lib, ...numbers] = process.argv.slice(2);
const [users, size, perSecond] = numbers.map(Number);
const { Server } = require(lib);
const http = require("http").createServer();
const io = new Server(http, { serveClient: false });

let entered = 0;
function talk() {
  const begun = performance.now();
  let said = 0;
  setInterval(() => {
    for (const due = ((performance.now() - begun) / 1000) * perSecond; said < due; said++) {
      const room = `room ${said % Math.ceil(users / size)}`;
      const sent = (performance.timeOrigin + performance.now()) / 1000;
      io.to(room).emit("message", { room, id: crypto.randomUUID(), sent });
    }
  }, 10);
}
io.on("connection", (socket) => {
  socket.on("enter", (answer) => {
    const room = `room ${Math.floor(entered++ / size)}`;
    socket.join(room);
    answer(room);
    if (entered === users) talk();
  });
  socket.on("join", (room, answer) => (socket.join(room), answer()));
  socket.on("leave", (room, answer) => (socket.leave(room), answer()));
});
http.listen(0, "127.0.0.1", () => console.log(`listening ${http.address().port}`));
