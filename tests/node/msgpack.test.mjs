// Clients with socket.io-msgpack-parser share rooms with JSON clients and get the same.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { Atrium, ISO, MSGPACK, POLLING, WEBSOCKET, newBoard, nthMove, randomUUID, range } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
let alice, packed, polled, board;

before(async () => {
  alice = await atrium.connect("alice");
  packed = await atrium.connect("bob", { ...MSGPACK, ...WEBSOCKET });
  polled = await atrium.connect("bob", { ...MSGPACK, ...POLLING });
  board = await newBoard(alice, { tasks: 8 });
  await Promise.all([alice, packed, polled].map((client) => client.join(board.room)));
});

test("both formats say the same, to the letter", async () => {
  const known = await alice.ok("room.join", { room: board.room });
  for (const client of [packed, polled]) {
    const { data } = await client.ok("room.join", { room: board.room });
    assert.deepEqual(data.snapshot, known.data.snapshot);
    assert.deepEqual(client.all("session.ready")[0].tenant, alice.all("session.ready")[0].tenant);
  }
  await alice.ok("task.update", {
    task_id: board.tasks[0].id,
    changes: { title: "Zürich 🙂 \u2028", estimate_minutes: 1_000_000, tags: ["a"], due_at: "2027-01-01T00:00:00Z" },
  });
  const moves = [alice, packed, polled].flatMap((client, c) => range(40).map((n) => client.ok("task.move", nthMove(board, n * 3 + c))));
  await Promise.all(moves);
  const fresh = await atrium.snapshot(alice.account, board.room);
  for (const client of [alice, packed, polled]) await client.agrees(board.room, fresh);
  for (const client of [packed, polled]) {
    assert.equal(JSON.stringify(client.events(board.room)), JSON.stringify(alice.events(board.room)));
  }
});

test("answers and errors have one form", async () => {
  const task_id = board.tasks[0].id;
  const calls = [
    ["task.get", { task_id }],
    ["task.get", { task_id: randomUUID() }],
    ["task.move", { task_id: 5, bogus: 1 }],
    ["task.list", { project_id: board.id, limit: 2 }],
    ["nope", {}],
    ["task.get", null],
    ["task.get", [1]],
    ["task.update", { task_id, changes: { title: "x" }, expected_version: 1 }],
    ["task.update", { task_id, changes: { estimate_minutes: 1.5 } }],
    ["task.update", { task_id, changes: { estimate_minutes: -(2 ** 40) } }],
  ];
  for (const [name, payload] of calls) {
    const [json, ...rest] = await Promise.all([alice, packed, polled].map((client) => client.call(name, payload)));
    for (const reply of rest) {
      assert.match(reply.timestamp, ISO);
      const { timestamp, request_id, ...same } = json;
      assert.deepEqual({ ...same }, (({ timestamp, request_id, ...theirs }) => theirs)(reply), name);
    }
  }
});

test("what JSON leaves out or writes as text, msgpack clients may send as it is", async () => {
  for (const client of [alice, packed, polled]) {
    const due = new Date("2027-03-04T05:06:07.089Z");
    const { data } = await client.ok("task.create", { room: board.room, title: "Dates", parent_id: undefined, due_at: due });
    assert.equal(data.task.due_at, due.toISOString());
    assert.equal(data.task.parent_id, null);
    const changes = { title: "Without a description", description: undefined, tags: ["a"] };
    const changed = await client.ok("task.update", { task_id: data.task.id, changes });
    assert.deepEqual(Object.keys(changed.data.was).sort(), ["tags", "title"]);
  }
});

test("binary data is refused, and the connection stays", async () => {
  for (const client of [packed, polled]) {
    const bytes = Buffer.from([1, 2, 3]);
    for (const payload of [bytes, { task_id: bytes }, { a: [{ b: bytes }] }, { a: new Uint8Array([1, 2, 3]) }]) {
      await client.refused("VALIDATION_ERROR", "task.get", payload);
    }
    client.socket.emit("task.get", { task_id: bytes });
    await client.ok("task.get", { task_id: board.tasks[0].id });
    assert.deepEqual(client.ends, []);
  }
});

test("the order of one client's commands holds in msgpack as well", async () => {
  for (const client of [packed, polled]) {
    const task_id = board.tasks[1].id;
    const replies = await Promise.all(range(200).map((n) => client.ok("task.update", { task_id, changes: { title: `Title ${n}` } })));
    const seqs = replies.map(({ meta }) => meta.seq);
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
    await client.agrees(board.room);
    assert.equal(client.copies.get(board.room).get("tasks", task_id).title, "Title 199");
  }
});

test("coming back in msgpack", async () => {
  packed.socket.disconnect();
  for (const n of range(5)) await alice.ok("task.move", nthMove(board, n));
  packed.socket.connect();
  await packed.ready(2);
  const joined = await packed.rejoin(board.room);
  assert.equal(joined.mode, "events");
  await packed.agrees(board.room);
});
