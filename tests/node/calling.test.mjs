// Calling: the envelope, the errors, command ids, and the order of one client's commands.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { Atrium, ISO, MSGPACK, POLLING, UUID, WEBSOCKET, keys, newBoard, randomUUID, range, sleep, until } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
let alice, bob, board;

before(async () => {
  [alice, bob] = await atrium.connectAll(["alice", "bob"]);
  board = await newBoard(alice);
  await Promise.all([alice.join(board.room), bob.join(board.room)]);
});

test("a command's answer to the letter", async () => {
  const reply = await bob.ok("task.create", { room: board.room, title: "Envelope" });
  assert.deepEqual(keys(reply), ["data", "meta", "request_id", "success", "timestamp"]);
  assert.equal(reply.success, true);
  assert.deepEqual(keys(reply.meta), ["duplicate", "room", "seq"]);
  assert.equal(reply.meta.room, board.room);
  assert.equal(reply.meta.duplicate, false);
  assert.match(reply.timestamp, ISO);
  assert.ok(typeof reply.request_id === "string" && reply.request_id);
  assert.deepEqual(keys(reply.data), ["task"]);

  const event = await alice.hears("task.created", ({ seq }) => seq === reply.meta.seq);
  assert.deepEqual(event.data, reply.data);
});

test("a list's answer tells how to go on", async () => {
  const { meta, data } = await bob.ok("task.list", { project_id: board.id, limit: 2 });
  assert.equal(data.tasks.length, 2);
  assert.deepEqual(keys(meta.pagination), ["limit", "next", "total"]);
  assert.equal(meta.pagination.limit, 2);
  const rest = await bob.ok("task.list", { project_id: board.id, limit: 100, cursor: meta.pagination.next });
  assert.equal(rest.meta.pagination.next, null);
  const ids = [...data.tasks, ...rest.data.tasks].map((task) => task.id);
  assert.equal(new Set(ids).size, bob.copies.get(board.room).list("tasks").length);
});

test("an error's answer to the letter, the same over REST", async () => {
  const reply = await bob.call("task.get", { task_id: randomUUID() });
  assert.deepEqual(keys(reply), ["error", "request_id", "success", "timestamp"]);
  assert.equal(reply.success, false);
  assert.deepEqual(keys(reply.error), ["code", "details", "field_errors", "message", "retry_after"]);
  assert.equal(reply.error.code, "NOT_FOUND");
  assert.match(reply.timestamp, ISO);
  assert.ok(typeof reply.request_id === "string" && reply.request_id);

  const rest = await atrium.rest(bob.account, "GET", `/tasks/${randomUUID()}`);
  assert.deepEqual(rest.error, reply.error);
});

test("names that nobody answers to", async () => {
  for (const name of ["nope", "task", "task.", "task.fly", "TASK.MOVE", "auth.login", "__proto__", "constructor", "", "🙂", "x".repeat(5000)]) {
    const error = await bob.refused("UNKNOWN_COMMAND", name, {});
    assert.ok(error.message.length < 300);
  }
});

test("field_errors name every field that does not fit", async () => {
  const task_id = board.tasks[0].id;
  const column_id = board.columns[1].id;
  const cases = [
    ["task.move", { task_id: 5, column_id, bogus: 1 }, ["task_id", "bogus"]],
    ["task.move", { task_id }, ["column_id"]],
    ["task.move", { task_id, column_id: "x" }, ["column_id"]],
    ["task.create", { room: board.room, title: "" }, ["title"]],
    ["task.create", { room: board.room, title: "x".repeat(501) }, ["title"]],
    ["task.create", { room: board.room, title: "nul \0" }, ["title"]],
    ["task.create", { room: board.room, title: "Late", due_at: "tomorrow" }, ["due_at"]],
    ["task.create", { room: 5, title: "Where" }, ["room"]],
    ["task.create", { room: "nowhere", title: "Where" }, ["room"]],
    ["task.create", { title: "Where" }, ["room"]],
    ["task.update", { task_id, changes: { title: 5 } }, ["changes.title"]],
    ["task.update", { task_id, changes: { priority: "highest" } }, ["changes.priority"]],
    ["task.update", { task_id, changes: { version: 5 } }, ["changes.version"]],
    ["task.update", { task_id, changes: { title: "New" }, command_id: "1" }, ["command_id"]],
    ["task.update", { task_id, changes: { title: "New" }, expected_version: "1" }, ["expected_version"]],
    ["room.join", { room: board.room, since: { epoch: "x", seq: -1 } }, ["since.seq"]],
    ["room.join", {}, ["room"]],
    ["presence.set", { room: board.room, status: "asleep" }, ["status"]],
  ];
  for (const [name, payload, fields] of cases) {
    const error = await bob.refused("VALIDATION_ERROR", name, payload);
    for (const field of fields) {
      assert.ok(Array.isArray(error.field_errors[field]), `${name} ${JSON.stringify(payload)}: ${JSON.stringify(error)}`);
      assert.ok(error.field_errors[field].every((text) => typeof text === "string" && text));
    }
  }
});

test("payloads that are no object", async () => {
  for (const payload of ["x", 5, true, [], [1], [[]]]) await bob.refused("VALIDATION_ERROR", "task.get", payload);
  await bob.refused("VALIDATION_ERROR", "task.get", null);
  const [reply] = await new Promise((resolve) => bob.socket.emit("task.get", {}, {}, (...replies) => resolve(replies)));
  assert.equal(reply.error.code, "VALIDATION_ERROR");
  const bare = await bob.socket.timeout(5000).emitWithAck("task.get");
  assert.equal(bare.error.code, "VALIDATION_ERROR");
  assert.deepEqual(bob.ends, []);
});

test("a call without an ack is carried out, and a bad one harms nobody", async () => {
  const title = `Without ack ${randomUUID()}`;
  bob.socket.emit("task.create", { room: board.room, title: 5 });
  bob.socket.emit("nope");
  bob.socket.emit("task.create", { room: board.room, title });
  await alice.hears("task.created", (event) => event.data.task.title === title);
  assert.deepEqual(bob.ends, []);
});

test("a command that comes again is answered again and applied once", async () => {
  const command = { task_id: board.tasks[0].id, changes: { title: "Once" }, command_id: randomUUID() };
  const first = await bob.ok("task.update", command);
  const second = await bob.ok("task.update", command);
  const third = await atrium.rest(bob.account, "PUT", `/tasks/${command.task_id}`, { changes: command.changes }, {
    "idempotency-key": command.command_id,
  });
  assert.equal(first.meta.duplicate, false);
  for (const again of [second, third]) {
    assert.deepEqual(again.data, first.data);
    assert.deepEqual(again.meta, { ...first.meta, duplicate: true });
  }
  const together = randomUUID();
  const replies = await Promise.all(range(10).map(() => bob.ok("task.create", { room: board.room, title: "Ten at once", command_id: together })));
  assert.equal(replies.filter((reply) => reply.meta.duplicate).length, 9);
  assert.equal(new Set(replies.map((reply) => JSON.stringify([reply.data, reply.meta.seq]))).size, 1);

  await alice.agrees(board.room);
  for (const id of [command.command_id, together]) {
    assert.equal(alice.events(board.room).filter((event) => event.command_id === id).length, 1);
  }
});

test("another body under a known command_id is refused", async () => {
  const command = { task_id: board.tasks[1].id, changes: { title: "First" }, command_id: randomUUID() };
  await bob.ok("task.update", command);
  await bob.refused("CONFLICT", "task.update", { ...command, changes: { title: "Second" } });
  await bob.refused("CONFLICT", "task.move", { ...nextColumn(1), command_id: command.command_id });
  await bob.refused("CONFLICT", "task.update", { ...command, expected_version: 2 });
  assert.equal((await bob.ok("task.get", { task_id: command.task_id })).data.task.title, "First");
});

test("a command_id belongs to its sender", async () => {
  const command = { room: board.room, title: "Mine", command_id: randomUUID() };
  const mine = await bob.ok("task.create", command);
  const hers = await alice.ok("task.create", command);
  assert.equal(hers.meta.duplicate, false);
  assert.notEqual(hers.data.task.id, mine.data.task.id);
});

test("an old expected_version shows what is there, and who made it so", async () => {
  const task_id = board.tasks[2].id;
  const { data } = await alice.ok("task.update", { task_id, changes: { title: "By Alice" } });
  const command = { task_id, changes: { title: "By Bob" }, expected_version: data.task.version - 1 };
  const error = await bob.refused("VERSION_CONFLICT", "task.update", command);
  assert.equal(error.details.current.title, "By Alice");
  assert.equal(error.details.current.version, data.task.version);
  assert.equal(error.details.changed_by.id, alice.account.user.id);
  assert.equal(error.details.changed_by.name, "Alice");
  assert.match(error.details.changed_by.at, ISO);
  await bob.ok("task.update", { ...command, expected_version: data.task.version });
});

for (const [transport, options] of Object.entries({ websocket: WEBSOCKET, polling: POLLING })) {
  test(`200 commands in a row are applied in the order they were sent: ${transport}`, async () => {
    const carl = await atrium.connect("bob", options);
    const task_id = board.tasks[3].id;
    const replies = await Promise.all(range(200).map((n) => carl.ok("task.update", { task_id, changes: { title: `Title ${n}` } })));
    const seqs = replies.map((reply) => reply.meta.seq);
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b));
    assert.equal(new Set(seqs).size, 200);
    await alice.agrees(board.room);
    assert.equal(alice.copies.get(board.room).get("tasks", task_id).title, "Title 199");
    const titles = alice.events(board.room).filter((event) => seqs.includes(event.seq)).map((event) => event.data.task.title);
    assert.deepEqual(titles, range(200).map((n) => `Title ${n}`));
    carl.close();
  });
}

test("more calls than may wait are answered all the same, each in its turn", async () => {
  const { limits } = await bob.ready();
  const task_id = board.tasks[0].id;
  const order = [];
  const calls = range(limits.max_pending * 3).map((n) =>
    n % 5 === 4 ? bob.ok("task.get", { task_id }, ({ data }) => order.push([n, data.task.title]))
      : bob.ok("task.update", { task_id, changes: { title: `Many ${n}` } }, () => order.push([n])));
  await Promise.all(calls);
  assert.deepEqual(order.map(([n]) => n), range(calls.length));
  for (const [n, title] of order.filter(([n]) => n % 5 === 4)) assert.equal(title, `Many ${n - 1}`);
});

for (const [transport, options] of Object.entries({ websocket: WEBSOCKET, polling: POLLING })) {
  test(`binary data is refused, and the connection stays: ${transport}`, async () => {
    const carl = await atrium.connect("bob", options);
    const bytes = Buffer.from([1, 2, 3]);
    for (const payload of [bytes, { task_id: bytes }, { a: [bytes, { b: new Uint8Array([4]) }] }, { a: bytes.buffer }]) {
      await carl.refused("VALIDATION_ERROR", "task.get", payload);
    }
    carl.socket.emit("task.get", { task_id: bytes });
    await carl.ok("task.get", { task_id: board.tasks[0].id });
    assert.deepEqual(carl.ends, []);
    carl.close();
  });
}

for (const [kind, options] of Object.entries({
  websocket: WEBSOCKET,
  polling: POLLING,
  "msgpack over websocket": { ...MSGPACK, ...WEBSOCKET },
  "msgpack over polling": { ...MSGPACK, ...POLLING },
})) {
  test(`a payload that is too large is refused, and the connection stays: ${kind}`, async () => {
    const carl = await atrium.connect("bob", options);
    const { limits } = await carl.ready();
    const command = { room: board.room, title: "Large", description: "x".repeat(limits.max_payload + 1) };
    const reply = await within(3000, carl.call("task.create", command));
    assert.equal(reply.error?.code, "PAYLOAD_TOO_LARGE");
    await carl.ok("task.get", { task_id: board.tasks[0].id });
    assert.deepEqual(carl.ends, []);
    carl.close();
  });
}

test("text goes through unchanged", async () => {
  const title = "Zürich – 東京 🙂 \u2028 \"quoted\" \\ </script> \u0001";
  const { data } = await bob.ok("task.create", { room: board.room, title });
  assert.equal(data.task.title, title);
  const heard = await until(() => alice.copies.get(board.room).get("tasks", data.task.id), "the task");
  assert.equal(heard.title, title);
  assert.match(data.task.id, UUID);
});

function within(ms, promise) {
  return Promise.race([promise, sleep(ms).then(() => assert.fail(`no answer within ${ms} ms`))]);
}

function nextColumn(n) {
  return { task_id: board.tasks[n].id, column_id: board.columns[1].id };
}
