// Connecting: who gets in, what the server says first, and what was missed in one's own rooms.
import assert from "node:assert/strict";
import test from "node:test";
import { io } from "socket.io-client";
import { Atrium, Client, ISO, MSGPACK, POLLING, UUID, WEBSOCKET, keys, newBoard, until } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);

const KINDS = {
  websocket: WEBSOCKET,
  polling: POLLING,
  upgrade: {},
  "msgpack over websocket": { ...MSGPACK, ...WEBSOCKET },
  "msgpack over polling": { ...MSGPACK, ...POLLING },
};

for (const [kind, options] of Object.entries(KINDS)) {
  test(`session.ready says who is there, where and when: ${kind}`, async () => {
    const alice = await atrium.connect("alice", options);
    const { user, tenant } = alice.account;

    assert.equal(alice.heard[0][0], "session.ready");
    const ready = await alice.ready();
    assert.deepEqual(keys(ready), [
      "api_key", "impersonated_by", "limits", "role", "rooms", "server_time", "session_id", "tenant", "user",
    ]);
    assert.deepEqual([ready.api_key, ready.impersonated_by], [null, null]);
    assert.match(ready.session_id, UUID);
    assert.deepEqual(ready.user, { id: user.id, name: "Alice", email: "alice@acme.example" });
    assert.deepEqual(ready.tenant, { id: tenant.id, name: "Acme", slug: "acme" });
    assert.equal(ready.role, "owner");
    assert.match(ready.server_time, ISO);
    assert.ok(Math.abs(Date.now() - Date.parse(ready.server_time)) < 60_000);
    assert.ok(ready.limits.max_payload > 0 && ready.limits.max_pending > 0 && ready.limits.resume_events > 0);
    assert.deepEqual(keys(ready.rooms), [`tenant:${tenant.id}`, `user:${user.id}`].sort());
    for (const room of Object.values(ready.rooms)) {
      assert.deepEqual(keys(room), ["epoch", "mode", "seq"]);
      assert.match(room.epoch, UUID);
      assert.ok(Number.isInteger(room.seq));
      assert.equal(room.mode, "current");
    }
    alice.close();
  });
}

test("each person's role is told", async () => {
  const people = await atrium.connectAll(["alice", "bob", "carol", "gus"]);
  const roles = people.map((person) => person.all("session.ready")[0].role);
  assert.deepEqual(roles, ["owner", "member", "client", "guest"]);
});

async function refusal(options, url = atrium.url) {
  const socket = io(url, { forceNew: true, reconnection: false, ...WEBSOCKET, ...options });
  const error = await new Promise((resolve, reject) => {
    socket.on("connect_error", resolve);
    socket.on("connect", () => reject(new Error("was let in")));
  });
  socket.disconnect();
  return error;
}

test("without a good token there is a connect_error that says so", async (t) => {
  const alice = await atrium.signIn("alice");
  const bad = {
    "no auth": undefined,
    "no token": {},
    "a null token": { token: null },
    "a number": { token: 5 },
    "an empty token": { token: "" },
    garbage: { token: "x" },
    "a changed signature": { token: alice.token.slice(0, -4) + "AAAA" },
    "another algorithm": { token: `${btoa('{"alg":"none","typ":"JWT"}')}.${alice.token.split(".")[1]}.` },
    "a very long one": { token: "x".repeat(100_000) },
  };
  for (const [what, auth] of Object.entries(bad)) {
    for (const [kind, options] of Object.entries(KINDS)) {
      await t.test(`${what}: ${kind}`, async () => {
        const error = await refusal({ ...options, auth });
        assert.deepEqual(keys(error.data), ["code", "message"]);
        assert.equal(error.data.code, "UNAUTHORIZED");
        assert.equal(error.data.message, error.message);
        assert.doesNotMatch(error.message, /Traceback|\.py|jwt/i);
      });
    }
  }
});

test("after a refusal the same socket may try again with a good token", async () => {
  const { token } = await atrium.signIn("alice");
  for (const options of Object.values(KINDS)) {
    const socket = io(atrium.url, { forceNew: true, ...options, auth: { token: "x" } });
    await new Promise((resolve) => socket.once("connect_error", resolve));
    socket.auth = { token };
    const ready = new Promise((resolve) => socket.once("session.ready", resolve));
    socket.connect();
    assert.equal((await ready).user.name, "Alice");
    socket.disconnect();
  }
});

test("there is one namespace", async () => {
  const { token } = await atrium.signIn("alice");
  const error = await refusal({ auth: { token } }, `${atrium.url}/admin`);
  assert.deepEqual(keys(error.data), ["code", "message"]);
  assert.equal(error.data.code, "NOT_FOUND");
});

test("a token that is renewed keeps the connection; somebody else's does not fit", async () => {
  const alice = await atrium.connect("alice");
  const fresh = await atrium.rest(null, "POST", "/auth/login", { email: "alice@acme.example", password: "atrium-demo" });
  const reply = await alice.ok("session.refresh", { token: fresh.data.access_token });
  assert.match(reply.data.expires_at, ISO);
  await alice.refused("CONFLICT", "session.refresh", { token: (await atrium.signIn("bob")).token });
  await alice.refused("UNAUTHORIZED", "session.refresh", { token: "x" });
  assert.deepEqual(alice.ends, []);
});

test("auth.since brings what was missed in the tenant's room and one's own", async () => {
  const alice = await atrium.connect("alice");
  const bob = await atrium.connect("bob");
  const board = await newBoard(alice, { tasks: 1 });
  const own = `user:${bob.account.user.id}`;
  const tenant = `tenant:${bob.account.tenant.id}`;
  await bob.hears("project.created", (event) => event.data.project.id === board.id);
  const before = (await bob.ready()).rooms;
  const since = Object.fromEntries([own, tenant].map((room) => {
    const last = bob.events(room).at(-1)?.seq ?? before[room].seq;
    return [room, { epoch: before[room].epoch, seq: last }];
  }));
  bob.close();

  const moved = await alice.ok("project.update", { project_id: board.id, name: "Renamed while Bob was away" });
  const task_id = board.tasks[0].id;
  await alice.ok("task.update", { task_id, changes: { assignee_ids: [bob.account.user.id] } });

  const back = new Client(atrium, bob.account, { ...WEBSOCKET, auth: { token: bob.account.token, since } });
  const { rooms } = await back.ready();
  for (const room of [own, tenant]) {
    assert.equal(rooms[room].mode, "events");
    const seqs = rooms[room].events.map((event) => event.seq);
    assert.deepEqual(seqs, seqs.map((_, n) => since[room].seq + 1 + n));
    assert.equal(rooms[room].seq, seqs.at(-1));
    assert.ok(rooms[room].events.every((event) => event.room === room));
  }
  assert.ok(rooms[tenant].events.some((event) => event.seq === moved.meta.seq && event.data.project.id === board.id));
  assert.match(JSON.stringify(rooms[own].events), new RegExp(task_id));

  await alice.ok("task.update", { task_id, changes: { assignee_ids: [] } });
  await until(() => back.events(own).length, "the next event of one's own room");
  assert.equal(back.events(own)[0].seq, rooms[own].seq + 1);
});

test("auth.since: nothing missed, another epoch, a future number, nonsense", async () => {
  const { token, user, tenant } = await atrium.signIn("gus");
  const own = `user:${user.id}`;
  const at = async (since) => {
    const gus = new Client(atrium, { token }, { ...WEBSOCKET, auth: { token, since } });
    const room = (await gus.ready()).rooms[own];
    gus.close();
    return room;
  };
  const { epoch, seq } = await at(undefined);
  assert.equal((await at({ [own]: { epoch, seq } })).mode, "current");
  assert.equal((await at({ [own]: { epoch, seq: seq + 1000 } })).mode, "snapshot");
  const other = await at({ [own]: { epoch: tenant.id, seq } });
  assert.equal(other.mode, "snapshot");
  assert.deepEqual(other.snapshot.users.map(({ id, name }) => ({ id, name })), [{ id: user.id, name: "Gus" }]);
  for (const since of ["x", 5, [], { [own]: 5 }, { [own]: { epoch: "x", seq: "y" } }, { [own]: { epoch, seq: -1 } }]) {
    assert.ok(["current", "snapshot"].includes((await at(since)).mode), JSON.stringify(since));
  }
});
