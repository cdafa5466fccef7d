// NestJS with two gateways as its documentation writes them, decorators applied by hand: node nest.js
//
// It prints "listening PORT". POST /login {user}: { token }. `/chat` drops a socket without such an `auth.token`
// once it has connected, as Nest's own handleConnection does; `/staff` refuses it in a middleware. GET /counts:
// { sessions, people: { user: { connects, disconnects, messages, transport } }, turned_away: { namespace: n } }.
'use strict';
require('reflect-metadata');
const { randomUUID } = require('crypto');
const { Body, Controller, Get, Module, Post } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { SubscribeMessage, WebSocketGateway, WsException } = require('@nestjs/websockets');

const users = new Map(); // by their token
const none = () => ({ sessions: 0, people: {}, turned_away: { '/chat': 0, '/staff': 0 } });
let counts = none();

// What a TypeScript compiler makes of `@decorator` before a class, a method, a method's argument.
const decorate = (decorator, type) => Reflect.decorate([decorator], type);
const method = (decorator, type, key) =>
  Reflect.decorate([decorator], type.prototype, key, Object.getOwnPropertyDescriptor(type.prototype, key));

class Chat {
  handleConnection(socket) {
    const user = users.get(socket.handshake.auth.token);
    if (!user) {
      counts.turned_away['/chat'] += 1;
      return socket.disconnect();
    }
    socket.data.user = user;
    const person = (counts.people[user] ??= { connects: 0, disconnects: 0, messages: 0, transport: null });
    person.connects += 1;
  }
  handleDisconnect(socket) {
    if (socket.data.user) counts.people[socket.data.user].disconnects += 1;
  }
  message(socket, body) {
    const person = counts.people[socket.data.user];
    person.messages += 1;
    person.transport = socket.conn.transport.name;
    if (!body.text) throw new WsException('no text');
    return { from: socket.data.user, text: body.text };
  }
  ask(socket, body) {
    return { event: 'answer', data: { to: socket.data.user, body } };
  }
}
decorate(WebSocketGateway({ namespace: '/chat' }), Chat);
method(SubscribeMessage('message'), Chat, 'message');
method(SubscribeMessage('ask'), Chat, 'ask');

class Staff {
  afterInit(namespace) {
    namespace.server.engine.on('connection', () => (counts.sessions += 1));
    namespace.use((socket, next) => {
      if (users.has(socket.handshake.auth.token)) return next();
      counts.turned_away['/staff'] += 1;
      next(Object.assign(new Error('who are you?'), { data: { login: '/login' } }));
    });
  }
}
decorate(WebSocketGateway({ namespace: '/staff' }), Staff);

class Routes {
  login(body) {
    const token = randomUUID();
    users.set(token, body.user);
    return { token };
  }
  counts() {
    return counts;
  }
  reset() {
    counts = none();
    return {};
  }
}
decorate(Controller(), Routes);
method(Post('login'), Routes, 'login');
Body()(Routes.prototype, 'login', 0);
method(Get('counts'), Routes, 'counts');
method(Post('reset'), Routes, 'reset');

class App {}
decorate(Module({ controllers: [Routes], providers: [Chat, Staff] }), App);

NestFactory.create(App, { logger: false }).then(async (app) => {
  await app.listen(0, '127.0.0.1');
  console.log('listening', app.getHttpServer().address().port);
});
