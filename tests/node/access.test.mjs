// Who sees and does what: the client and the guest see what is shared with them, a stranger nothing at all.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { Atrium, newBoard, nthMove, randomUUID, sleep } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
let alice, carol, gus, mallory, shared, hidden;

before(async () => {
  [alice, carol, gus, mallory] = await atrium.connectAll(["alice", "carol", "gus", "mallory@rival"]);
  const member_ids = [carol.account.user.id, gus.account.user.id];
  shared = await newBoard(alice, { member_ids });
  hidden = await newBoard(alice);
});

const outsiders = () => [["carol", carol], ["gus", gus]];

test("a client and a guest see the project that is shared with them, and its changes", async () => {
  for (const [, person] of outsiders()) {
    const joined = await person.join(shared.room);
    assert.equal(joined.snapshot.project.id, shared.id);
    assert.ok(!joined.permissions.includes("task.edit"));
  }
  await alice.ok("task.move", nthMove(shared, 0));
  for (const [, person] of outsiders()) await person.agrees(shared.room);
});

test("they see no other project, and do not learn that there is one", async () => {
  const projects = async (person) => {
    const { data } = await person.ok("project.list", { limit: 100 });
    return data.projects.map((project) => project.id);
  };
  assert.ok((await projects(alice)).includes(hidden.id));
  for (const [name, person] of outsiders()) {
    const seen = await projects(person);
    assert.ok(seen.includes(shared.id) && !seen.includes(hidden.id), name);
    const there = await person.refused("NOT_FOUND", "room.join", { room: hidden.room });
    const nowhere = await person.refused("NOT_FOUND", "room.join", { room: `project:${randomUUID()}` });
    assert.deepEqual(there, nowhere);
    await person.refused("NOT_FOUND", "project.get", { project_id: hidden.id });
    await person.refused("NOT_FOUND", "task.get", { task_id: hidden.tasks[0].id });
    await person.refused("NOT_FOUND", "task.list", { project_id: hidden.id });
    await person.refused("NOT_FOUND", "task.move", nthMove(hidden, 0));
    await person.refused("NOT_FOUND", "presence.set", { room: hidden.room, status: "busy" });
    await person.refused("NOT_FOUND", "typing.start", { room: hidden.room });
  }
});

test("they cannot change what they see", async () => {
  const task_id = shared.tasks[0].id;
  for (const [, person] of outsiders()) {
    const error = await person.refused("FORBIDDEN", "task.move", nthMove(shared, 1));
    assert.deepEqual(error.details, { permission: "task.edit" });
    await person.refused("FORBIDDEN", "task.create", { room: shared.room, title: "No" });
    await person.refused("FORBIDDEN", "task.update", { task_id, changes: { title: "No" } });
    await person.refused("FORBIDDEN", "task.delete", { task_id });
    await person.refused("FORBIDDEN", "column.set_limit", { column_id: shared.columns[0].id, limit: 1 });
    await person.refused("FORBIDDEN", "board.create", { room: shared.room, name: "No" });
    await person.refused("FORBIDDEN", "project.update", { project_id: shared.id, name: "No" });
    await person.refused("FORBIDDEN", "project.delete", { project_id: shared.id });
    await person.refused("FORBIDDEN", "project.create", { name: "No" });
    await person.refused("FORBIDDEN", "project.add_member", { project_id: shared.id, user_id: person.account.user.id, role: "owner" });
  }
  const { seq } = await atrium.snapshot(alice.account, shared.room);
  assert.equal(seq, shared.seq + 1, "only Alice's move");
});

test("the tenant's room is not theirs, nor is anybody else's own", async () => {
  for (const [, person] of outsiders()) {
    const { user, tenant } = person.account;
    assert.deepEqual(Object.keys((await person.ready()).rooms), [`user:${user.id}`]);
    const reply = await person.call("room.join", { room: `tenant:${tenant.id}` });
    assert.ok(["FORBIDDEN", "NOT_FOUND"].includes(reply.error?.code), JSON.stringify(reply));
    await person.refused("NOT_FOUND", "room.join", { room: `user:${alice.account.user.id}` });
    assert.ok(person.events(`tenant:${tenant.id}`).length === 0);
  }
  await alice.refused("NOT_FOUND", "room.join", { room: `user:${carol.account.user.id}` });
});

test("rooms that cannot be", async () => {
  for (const room of ["project:x", "project:", "", "tenant", `channel:${randomUUID()}`, `Project:${shared.id}`, "x".repeat(99)]) {
    await alice.refused("NOT_FOUND", "room.join", { room });
  }
});

test("another tenant's rooms, ids and members do not exist", async () => {
  const task_id = shared.tasks[0].id;
  const { user, tenant } = alice.account;
  const unknown = await mallory.refused("NOT_FOUND", "room.join", { room: `project:${randomUUID()}` });
  for (const room of [shared.room, hidden.room, `tenant:${tenant.id}`, `user:${user.id}`]) {
    assert.deepEqual(await mallory.refused("NOT_FOUND", "room.join", { room }), unknown);
    await mallory.refused("NOT_FOUND", "room.join", { room, since: { epoch: shared.epoch, seq: 0 } });
    await mallory.refused("NOT_FOUND", "room.events", { room });
    await mallory.refused("NOT_FOUND", "room.snapshot", { room });
    await mallory.refused("NOT_FOUND", "presence.set", { room, status: "online" });
  }
  await mallory.refused("NOT_FOUND", "task.get", { task_id });
  await mallory.refused("NOT_FOUND", "task.move", nthMove(shared, 0));
  await mallory.refused("NOT_FOUND", "task.update", { task_id, changes: { title: "Mine" } });
  await mallory.refused("NOT_FOUND", "task.create", { room: shared.room, title: "Mine" });
  await mallory.refused("NOT_FOUND", "column.update", { column_id: shared.columns[0].id, name: "Mine" });
  await mallory.refused("NOT_FOUND", "project.update", { project_id: shared.id, name: "Mine" });
  await mallory.refused("NOT_FOUND", "project.delete", { project_id: shared.id });
  await mallory.refused("NOT_FOUND", "project.create", { name: "Ours", member_ids: [user.id] });

  const own = await newBoard(mallory, { tasks: 1 });
  await mallory.refused("NOT_FOUND", "task.move", { task_id: own.tasks[0].id, column_id: shared.columns[0].id });
  await mallory.refused("NOT_FOUND", "task.move", { task_id, column_id: own.columns[0].id });
  await mallory.refused("NOT_FOUND", "task.move", { room: shared.room, task_id: own.tasks[0].id, column_id: own.columns[0].id });
  await mallory.refused("VALIDATION_ERROR", "task.update", { task_id: own.tasks[0].id, changes: { assignee_ids: [user.id] } });
});

test("nothing of one tenant is heard in the other", async () => {
  const canary = `canary-${randomUUID()}`;
  await alice.ok("project.create", { name: canary });
  await alice.ok("task.create", { room: shared.room, title: canary });
  await sleep(300);
  assert.ok(!JSON.stringify(mallory.heard).includes(canary));
  assert.ok(!JSON.stringify(mallory.heard).includes(alice.account.tenant.id));
});
