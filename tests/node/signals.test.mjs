// Presence, typing, leaving, and the end of a room.
import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";
import { Atrium, ISO, keys, newBoard, nthMove, range, sleep, until } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
let alice, bob, carol, board;

beforeEach(async () => {
  [alice, bob, carol] = await atrium.connectAll(["alice", "bob", "carol"]);
  board = await newBoard(alice, { member_ids: [carol.account.user.id] });
});

const ids = (list) => list.map((person) => person.user_id);

test("who comes, changes and goes is seen by the others", async () => {
  const [a, b] = [alice.account.user.id, bob.account.user.id];
  await alice.join(board.room);
  const joined = await bob.join(board.room);
  assert.deepEqual(keys(joined.presence), ["count", "members"]);
  assert.deepEqual(ids(joined.presence.members), [a]);
  assert.equal(joined.presence.count, 1);

  const about = (list, id) => ({ room, [list]: people }) => room === board.room && ids(people).includes(id);
  const came = await alice.hears("presence.changed", about("joined", b));
  assert.deepEqual(keys(came), ["count", "joined", "left", "room", "updated"]);
  assert.equal(came.count, 2);

  const state = { status: "busy", focus: { kind: "task", id: board.tasks[0].id }, cursor: { x: 1, y: 2.5 } };
  const reply = await bob.ok("presence.set", { room: board.room, ...state });
  assert.deepEqual(reply.data, {});
  const changed = await alice.hears("presence.changed", about("updated", b));
  assert.deepEqual(changed.updated, [{ user_id: b, name: "Bob", ...state }]);

  const third = await carol.join(board.room);
  assert.deepEqual(third.presence.members.find((person) => person.user_id === b), { user_id: b, name: "Bob", ...state });

  bob.close();
  const gone = await alice.hears("presence.changed", about("left", b));
  assert.equal(gone.count, 2);
});

test("a person with two windows is there once, and leaves with the last", async () => {
  const other = await atrium.connect("bob");
  await alice.join(board.room);
  await Promise.all([bob.join(board.room), other.join(board.room)]);
  await alice.hears("presence.changed", ({ joined }) => ids(joined).includes(bob.account.user.id));
  bob.close();
  await sleep(300);
  assert.ok(!alice.all("presence.changed").some(({ left }) => left.length));
  other.close();
  await alice.hears("presence.changed", ({ left }) => ids(left).includes(bob.account.user.id));
});

test("whom the join's answer names, and who goes at once, is seen going", async () => {
  for (const _ of range(3)) {
    await bob.join(board.room);
    const { presence } = await alice.join(board.room);
    await bob.ok("room.leave", { room: board.room });
    const there = new Set(ids(presence.members));
    await until(() => {
      for (const { joined, left } of alice.all("presence.changed")) {
        ids(joined).forEach((id) => there.add(id));
        ids(left).forEach((id) => there.delete(id));
      }
      return !there.has(bob.account.user.id);
    }, "Bob's going", 2000);
    await alice.ok("room.leave", { room: board.room });
    alice.heard.length = 0;
  }
});

test("typing reaches the others, not oneself", async () => {
  await Promise.all([alice, bob, carol].map((person) => person.join(board.room)));
  await bob.ok("typing.start", { room: board.room });
  for (const person of [alice, carol]) {
    const typing = await person.hears("typing");
    assert.deepEqual(keys(typing), ["room", "thread_id", "until", "user_id"]);
    assert.equal(typing.room, board.room);
    assert.equal(typing.user_id, bob.account.user.id);
    assert.equal(typing.thread_id, null);
    assert.match(typing.until, ISO);
    const left = Date.parse(typing.until) - Date.now();
    assert.ok(left > 0 && left < 10_000, `until is ${left} ms away`);
  }
  await bob.ok("typing.stop", { room: board.room, thread_id: board.tasks[0].id });
  const stopped = await alice.hears("typing", ({ thread_id }) => thread_id !== null);
  assert.ok(Date.parse(stopped.until) <= Date.now() + 1000);
  assert.deepEqual(bob.all("typing"), []);
});

test("signals are for members of the room", async () => {
  await alice.join(board.room);
  await bob.refused("NOT_FOUND", "presence.set", { room: board.room, status: "busy" });
  await bob.refused("NOT_FOUND", "typing.start", { room: board.room });
  assert.deepEqual(alice.all("typing"), []);
});

test("who has left hears no more, and may come back", async () => {
  await Promise.all([alice, bob].map((person) => person.join(board.room)));
  await alice.ok("task.move", nthMove(board, 0));
  await bob.reaches(board.room, board.seq + 1);
  await alice.hears("presence.changed", ({ joined }) => ids(joined).includes(bob.account.user.id));
  const reply = await bob.ok("room.leave", { room: board.room });
  assert.deepEqual(reply.data, { room: board.room });
  await alice.hears("presence.changed", ({ left }) => ids(left).includes(bob.account.user.id));
  const before = bob.heard.length;
  for (const n of [1, 2, 3]) await alice.ok("task.move", nthMove(board, n));
  await alice.ok("typing.start", { room: board.room });
  await bob.ok("room.leave", { room: board.room });
  await alice.reaches(board.room, board.seq + 4);
  await sleep(200);
  assert.deepEqual(bob.heard.slice(before).filter(([, event]) => event.room === board.room), []);
  assert.equal((await bob.rejoin(board.room)).events.length, 3);
  await alice.ok("task.move", nthMove(board, 4));
  await bob.agrees(board.room);
});

test("a deleted project puts everybody out, after its last event", async () => {
  const people = [alice, bob, carol];
  await Promise.all(people.map((person) => person.join(board.room)));
  await alice.ok("task.move", nthMove(board, 0));
  await alice.ok("project.delete", { project_id: board.id });
  for (const person of people) {
    const closed = await person.hears("room.closed");
    assert.deepEqual(closed, { room: board.room, reason: "deleted" });
    const names = person.heard.filter(([, event]) => event.room === board.room).map(([name]) => name);
    assert.ok(names.indexOf("project.deleted") < names.indexOf("room.closed"), names.join());
    assert.deepEqual(person.ends, []);
    await person.refused("NOT_FOUND", "room.join", { room: board.room });
    await person.refused("NOT_FOUND", "task.move", nthMove(board, 1));
  }
  await alice.ok("project.restore", { project_id: board.id });
  await bob.join(board.room);
  await alice.ok("task.move", nthMove(board, 1));
  await bob.agrees(board.room);
});

test("who signs out is put out on the spot", async () => {
  const login = await atrium.rest(null, "POST", "/auth/login", { email: "bob@acme.example", password: "atrium-demo" });
  const { access_token: token } = login.data;
  const second = await atrium.connect("bob");
  second.close();
  second.socket.auth = { token };
  second.socket.io.reconnection(false);
  second.socket.connect();
  await second.ready(2);
  await second.join(board.room);
  const reply = await atrium.rest({ token }, "POST", "/auth/logout");
  assert.ok(reply.success, JSON.stringify(reply.error));
  await until(() => second.ends.includes("io server disconnect"), () => `the end, had: ${second.ends}`);
  const closed = second.all("room.closed").map(({ room, reason }) => `${room} ${reason}`);
  assert.ok(closed.includes(`${board.room} revoked`), closed.join());
  assert.deepEqual(bob.ends, [], "Bob's other session goes on");
});
