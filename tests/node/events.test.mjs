// Events: their form, what a reducer makes of them, and their order under load.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { Atrium, ISO, UUID, keys, newBoard, nthMove, randomUUID, range } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
let alice, bob;

before(async () => {
  [alice, bob] = await atrium.connectAll(["alice", "bob"]);
});

test("an event to the letter", async () => {
  const board = await newBoard(alice);
  await bob.join(board.room);
  const [task, column] = [board.tasks[0], board.columns.at(-1)];
  const command_id = randomUUID();
  const reply = await alice.ok("task.move", { task_id: task.id, column_id: column.id, command_id });
  const event = await bob.hears("task.moved", ({ seq }) => seq === reply.meta.seq);

  assert.deepEqual(keys(event), ["actor", "at", "command_id", "data", "room", "seq"]);
  assert.equal(event.room, board.room);
  assert.equal(event.seq, board.seq + 1);
  assert.match(event.at, ISO);
  assert.ok(Math.abs(Date.now() - Date.parse(event.at)) < 60_000);
  assert.deepEqual(event.actor, { id: alice.account.user.id, name: "Alice" });
  assert.equal(event.command_id, command_id);
  assert.deepEqual(event.data, reply.data);

  const { task: moved, was } = event.data;
  assert.equal(moved.id, task.id);
  assert.equal(moved.column_id, column.id);
  assert.ok(column.status_ids.includes(moved.status_id));
  assert.equal(typeof moved.position, "string");
  assert.equal(moved.version, task.version + 1);
  assert.equal(was.column_id, task.column_id);
  assert.equal(was.status_id, task.status_id);
  for (const [field, old] of Object.entries(was)) assert.notDeepEqual(moved[field], old, `${field} did not change`);
  for (const [field, old] of Object.entries(was)) assert.deepEqual(old, task[field], `was.${field}`);

  const made = await alice.ok("task.create", { room: board.room, title: "Without a command_id" });
  assert.match((await bob.hears("task.created", ({ seq }) => seq === made.meta.seq)).command_id, UUID);
});

test("after every command, snapshot and events are the fresh snapshot", async (t) => {
  const board = await newBoard(alice);
  const [first, second, third] = board.tasks.map((task) => task.id);
  const [todo, doing, hold, done] = board.columns.map((column) => column.id);
  const joined = await bob.join(board.room);
  for (const kind of ["project", "boards", "columns", "tasks", "members", "statuses"]) {
    assert.ok(joined.snapshot[kind], `the snapshot has no ${kind}`);
  }
  for (const field of ["id", "key", "title", "column_id", "status_id", "position", "version", "assignee_ids"]) {
    assert.ok(field in joined.snapshot.tasks[0], `a task has no ${field}`);
  }
  await alice.join(`tenant:${alice.account.tenant.id}`);
  const made = {};
  const id = (name) => (made[name] ??= randomUUID());
  const people = [bob.account.user.id, alice.account.user.id];
  const commands = [
    ["task.update", { task_id: first, changes: { title: "Another title" } }],
    ["task.update", { task_id: first, changes: { description: "Long\ntext", priority: "urgent", type: "bug" } }],
    ["task.update", { task_id: first, changes: { assignee_ids: people, tags: ["a", "b"] } }],
    ["task.update", { task_id: first, changes: { assignee_ids: people.slice(1), tags: [] } }],
    ["task.update", { task_id: first, changes: { due_at: "2027-01-01T00:00:00+02:00", estimate_minutes: 30 } }],
    ["task.update", { task_id: first, changes: { due_at: null, estimate_minutes: null } }],
    ["task.update", { task_id: first, changes: { status_id: board.statuses.find((s) => s.category === "done").id } }],
    ["task.update", { task_id: first, changes: { title: "Another title" } }],
    ["task.update", { task_id: second, changes: { parent_id: first } }],
    ["task.create", { room: board.room, id: id("leaf"), title: "Leaf", parent_id: second, assignee_ids: people }],
    ["task.move", { task_id: first, column_id: doing }],
    ["task.move", { task_id: second, column_id: doing, before_id: first }],
    ["task.move", { task_id: third, column_id: doing, after_id: second }],
    ["task.move", { task_id: third, column_id: doing, after_id: first }],
    ["task.move", { task_id: third, column_id: doing }],
    ["task.move", { task_id: third, column_id: done }],
    ["task.delete", { task_id: first }],
    ["task.restore", { task_id: first }],
    ["task.delete", { task_id: third }],
    ["board.create", { room: board.room, id: id("board"), name: "Second" }],
    ["board.update", { board_id: id("board"), name: "Renamed" }],
    ["column.create", { board_id: board.boards[0].id, id: id("column"), name: "Review", wip_limit: 3 }],
    ["column.update", { column_id: id("column"), name: "Proofs" }],
    ["column.set_limit", { column_id: id("column"), limit: null }],
    ["column.move", { column_id: id("column"), before_id: todo }],
    ["column.move", { column_id: id("column") }],
    ["column.delete", { column_id: id("column") }],
    ["column.set_limit", { column_id: hold, limit: 1 }],
    ["project.update", { project_id: board.id, name: "Renamed", description: "New", status: "on_hold" }],
    ["project.add_member", { project_id: board.id, user_id: bob.account.user.id }],
    ["project.add_member", { project_id: board.id, user_id: bob.account.user.id, role: "manager" }],
    ["project.remove_member", { project_id: board.id, user_id: bob.account.user.id }],
  ];
  for (const [n, [name, payload]] of commands.entries()) {
    await t.test(`${n + 1} ${name}`, async () => {
      const reply = await alice.ok(name, payload);
      await bob.agrees(board.room);
      const event = bob.events(board.room).at(-1);
      assert.ok(Object.keys(reply.data).every((key) => key in event.data));
    });
  }
  await alice.agrees(`tenant:${alice.account.tenant.id}`);
});

test("who has no task left has nothing assigned: one's own room folds too", async () => {
  const own = `user:${bob.account.user.id}`;
  await bob.join(own);
  const board = await newBoard(alice, { tasks: 2 });
  const assignee_ids = [bob.account.user.id];
  for (const { id } of board.tasks) await alice.ok("task.update", { task_id: id, changes: { assignee_ids } });
  await alice.ok("task.update", { task_id: board.tasks[0].id, changes: { title: "Bob's", priority: "high" } });
  await alice.ok("task.move", nthMove(board, 1));
  await alice.ok("task.update", { task_id: board.tasks[0].id, changes: { assignee_ids: [] } });
  await alice.ok("task.delete", { task_id: board.tasks[1].id });
  await alice.ok("task.restore", { task_id: board.tasks[1].id });
  await bob.agrees(own, await atrium.snapshot(bob.account, own));
});

test("the log gives the events again, byte for byte", async () => {
  const board = await newBoard(alice);
  await bob.join(board.room);
  for (const n of range(5)) await alice.ok("task.move", nthMove(board, n));
  await alice.ok("task.update", { task_id: board.tasks[0].id, changes: { title: "Zürich 🙂", due_at: "2027-05-05T05:05:05.5Z" } });
  await bob.agrees(board.room);
  const { data } = await atrium.rest(bob.account, "GET", `/rooms/${board.room}/events?since=${board.seq}`);
  assert.equal(JSON.stringify(data.events), JSON.stringify(bob.events(board.room)));
});

test("what is done over REST is heard on sockets", async () => {
  const board = await newBoard(alice);
  await bob.join(board.room);
  const { task_id, column_id } = nthMove(board, 1);
  const reply = await atrium.rest(alice.account, "POST", `/tasks/${task_id}/move`, { column_id });
  assert.ok(reply.success, JSON.stringify(reply.error));
  const event = await bob.hears("task.moved", ({ seq, room }) => room === board.room && seq === reply.meta.seq);
  assert.deepEqual(event.data, reply.data);
});

test("300 moves by five clients at once reach ten in one order, without hole or repeat", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  const movers = await atrium.connectAll(["alice", "bob", "alice", "bob", "alice"]);
  const watchers = await atrium.connectAll(["bob", "alice", "bob", "alice", "bob"]);
  const everybody = [...movers, ...watchers];
  await Promise.all(everybody.map((client) => client.join(board.room)));

  const replies = await Promise.all(
    movers.flatMap((mover, m) => range(60).map((n) => mover.ok("task.move", nthMove(board, n * 5 + m)))),
  );
  const fresh = await atrium.snapshot(alice.account, board.room);
  assert.equal(fresh.seq, board.seq + 300);
  for (const client of everybody) {
    await client.agrees(board.room, fresh);
    assert.deepEqual(client.events(board.room).map(({ seq }) => seq), range(300).map((n) => board.seq + 1 + n));
    assert.equal(JSON.stringify(client.events(board.room)), JSON.stringify(watchers[0].events(board.room)));
  }
  assert.deepEqual(replies.map(({ meta }) => meta.seq).sort((a, b) => a - b), range(300).map((n) => board.seq + 1 + n));
  everybody.forEach((client) => client.close());
});
