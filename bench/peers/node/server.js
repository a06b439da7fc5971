// Socket.IO on Node as its own documentation shows it: rooms, acks, the default `ws` engine.
// A move is echoed to the room and acknowledged; nothing is stored. Event and ack have the shape and size of
// Atrium's (MOVE: a JSON file with one of each), with the values that change made anew for every command.
//
//   PORT=9000 MOVE=move.json [DEFLATE=1] node server.js

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const { event, ack } = JSON.parse(readFileSync(process.env.MOVE, "utf8"));
const http = createServer();
const io = new Server(http, { perMessageDeflate: process.env.DEFLATE === "1" });
let seq = 1000;

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
});

http.listen(Number(process.env.PORT), "127.0.0.1");
