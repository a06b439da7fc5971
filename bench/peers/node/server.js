// Socket.IO on Node as its own documentation shows it: rooms, acks, the default `ws` engine.
// A move is echoed to the room and acknowledged; nothing is stored. Event and ack have the shape and size of
// Atrium's (MOVE: a JSON file with one of each), with the values that change made anew for every command.
//
//   PORT=9000 MOVE=move.json [DEFLATE=1] [MSGPACK=1] [REDIS_URL=redis://… [WORKERS=2]] node server.js

import cluster from "node:cluster";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

const { event, ack } = JSON.parse(readFileSync(process.env.MOVE, "utf8"));
const env = process.env;
const TYPING_MS = 6000;
let seq = 1000;

async function options() {
  const chosen = { perMessageDeflate: env.DEFLATE === "1" };
  if (env.MSGPACK === "1") Object.assign(chosen, { parser: msgpack, path: "/msgpack/socket.io/" });
  if (env.REDIS_URL) {
    const publisher = createClient({ url: env.REDIS_URL });
    const subscriber = publisher.duplicate();
    await Promise.all([publisher.connect(), subscriber.connect()]);
    chosen.adapter = createAdapter(publisher, subscriber);
  }
  return chosen;
}

async function serve() {
  const http = createServer();
  const io = new Server(http, await options());

  io.on("connection", (socket) => {
    socket.on("room.join", ({ room }, reply) => {
      socket.join(room);
      reply({ success: true, data: { room } });
    });

    socket.on("task.move", ({ room, task_id, column_id, command_id }, reply) => {
      const at = new Date().toISOString();
      const task = { ...event.data.task, id: task_id, column_id, updated_at: at };
      const data = { task, was: event.data.was };
      seq += 1;
      io.to(room).emit("task.moved", { ...event, room, seq, at, command_id, data });
      reply({ ...ack, data, meta: { ...ack.meta, room, seq }, timestamp: at });
    });

    socket.on("typing.start", ({ room, thread_id }, reply) => {
      const until = new Date(Date.now() + TYPING_MS).toISOString();
      socket.to(room).volatile.emit("typing", { room, user_id: event.actor.id, thread_id, until });
      reply({ success: true, data: {}, timestamp: until, request_id: ack.request_id });
    });
  });

  http.listen(Number(env.PORT), "127.0.0.1");
}

if (cluster.isPrimary && Number(env.WORKERS) > 1) {
  for (let worker = 0; worker < Number(env.WORKERS); worker += 1) cluster.fork();
} else {
  await serve();
}
