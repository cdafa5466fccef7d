// A server that lets each ticket in once, and slowly: node guarded.js --lib sio4 [--delay ms] [--transports websocket]
// It prints "listening PORT". GET /counts: { connects, refused, spent: { ticket: requests for a session } }.
'use strict';
const args = process.argv.slice(2);
const option = (name, otherwise) => (args.includes(name) ? args[args.indexOf(name) + 1] : otherwise);
const lib = option('--lib', 'sio4');
const delay = Number(option('--delay', '0'));
const counts = { connects: 0, refused: 0, spent: {} };
const server = require('http').createServer((request, response) => {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(counts));
});
const given = {
  allowRequest(request, done) {
    const ticket = new URL(request.url, 'http://x').searchParams.get('ticket') || '';
    const spent = (counts.spent[ticket] = (counts.spent[ticket] || 0) + 1);
    if (!ticket || spent > 1) counts.refused += 1;
    setTimeout(() => (ticket && spent === 1 ? done(null, true) : done(4, false)), delay);
  },
};
if (option('--transports')) given.transports = [option('--transports')];
const made = require(`./node_modules/${lib}`);
const io = new (made.Server || made)(server, given);
io.on('connection', (socket) => {
  counts.connects += 1;
  socket.on('echo', (value, ack) => ack(value));
});
server.listen(0, '127.0.0.1', () => console.log('listening', server.address().port));
