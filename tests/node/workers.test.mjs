// Two workers behind one port: it must not matter on which of them one is.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { MSGPACK, OwnServer, POLLING, WEBSOCKET, keepMoving, newBoard, nthMove, randomUUID, range, sleep, until } from "./helper.mjs";

let atrium, alices, bobs, everybody;

before(async () => {
  atrium = await OwnServer.start({ workers: 2 });
  [alices, bobs] = await Promise.all([
    atrium.connectAll(range(6).map(() => "alice")),
    atrium.connectAll(range(6).map(() => "bob")),
  ]);
  bobs.push(await atrium.connect("bob", { ...MSGPACK, ...WEBSOCKET }));
  everybody = [...alices, ...bobs];
});

/** How many connections each worker has, by its number; whichever is asked says it for both. */
async function connections() {
  const response = await fetch(`${atrium.url}/metrics`, { headers: { connection: "close" } });
  const counts = {};
  for (const [, worker, count] of (await response.text()).matchAll(/^atrium_connections\{.*worker="(\d+)".*\} (\S+)$/gm)) {
    counts[worker] = (counts[worker] ?? 0) + Number(count);
  }
  return counts;
}

test("the clients are spread over both workers", async () => {
  let counts;
  await until(async () => {
    counts = await connections();
    if (Object.keys(counts).length < 2) return false; // the second is still starting
    if (counts[1] > 0 && counts[2] > 0) {
      assert.equal(counts[1] + counts[2], everybody.length);
      return true;
    }
    const more = await atrium.connect("bob");
    bobs.push(more);
    everybody.push(more);
  }, () => `a client on each worker: ${JSON.stringify(counts)}\n${atrium.log}`);
});

test("clients that poll need no proxy: whichever worker a poll reaches", async () => {
  const board = await newBoard(alices[0], { tasks: 12 });
  const kinds = [POLLING, { ...MSGPACK, ...POLLING }, {}, MSGPACK];
  const clients = await Promise.all(range(12).map((n) => atrium.connect(["alice", "bob"][n % 2], kinds[n % 4])));
  await Promise.all(clients.map((client) => client.join(board.room)));
  const replies = await Promise.all(clients.flatMap((client, c) => range(20).map((n) => client.ok("task.move", nthMove(board, n * 13 + c)))));
  const fresh = await atrium.snapshot(alices[0].account, board.room);
  assert.equal(fresh.seq, board.seq + replies.length);
  for (const [n, client] of clients.entries()) {
    await client.agrees(board.room, fresh);
    assert.equal(client.events(board.room).length, replies.length);
    assert.deepEqual(client.ends, [], "it has been there all the time");
    await until(() => client.socket.io.engine.transport.name === (n % 4 < 2 ? "polling" : "websocket"), () => `the upgrade of ${n}:\n${atrium.log}`);
  }
  const ids = new Set(clients.map((client) => client.socket.io.engine.id.split(".")[0]));
  assert.deepEqual([...ids].sort(), ["w1", "w2"], "they are on both workers");
  for (const client of clients) client.close();
});

test("everybody hears everything in one order, whoever writes", async () => {
  const board = await newBoard(alices[0], { tasks: 12 });
  await Promise.all(everybody.map((client) => client.join(board.room)));
  const replies = await Promise.all(everybody.flatMap((client, c) => range(25).map((n) => client.ok("task.move", nthMove(board, n * 13 + c)))));
  const fresh = await atrium.snapshot(alices[0].account, board.room);
  assert.equal(fresh.seq, board.seq + replies.length);
  for (const client of everybody) {
    await client.agrees(board.room, fresh);
    assert.equal(JSON.stringify(client.events(board.room)), JSON.stringify(everybody[0].events(board.room)));
  }
});

test("a command id counts on both workers", async () => {
  const board = await newBoard(alices[0]);
  await Promise.all(everybody.map((client) => client.join(board.room)));
  const command = { ...nthMove(board, 1), command_id: randomUUID() };
  const first = await bobs[0].ok("task.move", command);
  for (const other of bobs.slice(1)) {
    const again = await other.ok("task.move", command);
    assert.deepEqual(again.data, first.data);
    assert.deepEqual(again.meta, { ...first.meta, duplicate: true });
    await other.refused("CONFLICT", "task.move", { ...command, column_id: board.columns[0].id });
  }
  const together = { room: board.room, title: "At once", command_id: randomUUID() };
  const replies = await Promise.all(bobs.map((client) => client.ok("task.create", together)));
  assert.equal(replies.filter(({ meta }) => !meta.duplicate).length, 1);
  assert.equal(new Set(replies.map(({ data }) => JSON.stringify(data))).size, 1);
  for (const client of everybody) {
    await client.agrees(board.room);
    assert.equal(client.events(board.room).length, 2);
  }
});

test("joining and coming back while others write on both workers", async () => {
  const board = await newBoard(alices[0], { tasks: 12 });
  const moving = alices.slice(0, 3).map((client) => keepMoving(client, board, 2));
  await Promise.all(bobs.map(async (client, n) => {
    await sleep(n * 15);
    await client.join(board.room);
    await sleep(30);
    const times = client.all("session.ready").length;
    client.socket.disconnect().connect(); // most likely to the other worker
    await client.ready(times + 1);
    await client.rejoin(board.room);
  }));
  for (const writer of moving) await writer.stop();
  const fresh = await atrium.snapshot(alices[0].account, board.room);
  for (const client of bobs) await client.agrees(board.room, fresh);
});

test("presence and typing cross from worker to worker", async () => {
  const board = await newBoard(alices[0]);
  await Promise.all(alices.map((client) => client.join(board.room)));
  const [bob] = bobs;
  const bobs_id = bob.account.user.id;
  const has = (list) => (event) => event.room === board.room && event[list].some(({ user_id }) => user_id === bobs_id);
  await bob.join(board.room);
  for (const alice of alices) await alice.hears("presence.changed", has("joined"));
  await bob.ok("presence.set", { room: board.room, status: "away" });
  for (const alice of alices) await alice.hears("presence.changed", has("updated"));
  await bob.ok("typing.start", { room: board.room });
  for (const alice of alices) await alice.hears("typing", ({ room }) => room === board.room);
  await bob.ok("room.leave", { room: board.room });
  for (const alice of alices) await alice.hears("presence.changed", has("left"));
});

test("a deleted project closes its room on both workers, after its last event", async () => {
  const board = await newBoard(alices[0]);
  await Promise.all(everybody.map((client) => client.join(board.room)));
  await alices[0].ok("project.delete", { project_id: board.id });
  for (const client of everybody) {
    const closed = await client.hears("room.closed", ({ room }) => room === board.room);
    assert.equal(closed.reason, "deleted");
    const names = client.heard.filter(([, event]) => event.room === board.room).map(([name]) => name);
    assert.ok(names.indexOf("project.deleted") >= 0, names.join());
    assert.ok(names.indexOf("project.deleted") < names.indexOf("room.closed"), names.join());
  }
});

test("signing out ends the session on both workers", async () => {
  const body = { email: "bob@acme.example", password: "atrium-demo" };
  const { data } = await atrium.rest(null, "POST", "/auth/login", body);
  const account = { ...bobs[0].account, token: data.access_token };
  const sessions = await Promise.all(range(8).map(async () => {
    const client = await atrium.connect("bob");
    client.socket.disconnect();
    client.socket.auth = { token: account.token };
    client.socket.connect();
    await client.ready(2);
    client.ends.length = 0;
    return client;
  }));
  await atrium.rest(account, "POST", "/auth/logout");
  for (const client of sessions) {
    await until(() => client.ends.includes("io server disconnect"), () => `the end, had ${client.ends}`, 5000);
  }
  for (const client of bobs) assert.ok(client.socket.connected, "Bob's other sessions go on");
});
