// Long polling, and the change to WebSocket in the midst of traffic.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { Atrium, Client, MSGPACK, POLLING, keepMoving, newBoard, nthMove, range, sleep, until } from "./helper.mjs";
import { slowRoad } from "./proxy.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
const transport = (client) => client.socket.io.engine.transport.name;
let alice;

before(async () => {
  alice = await atrium.connect("alice");
});

test("a client that can only poll gets everything, in order, under load", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  const pollers = await atrium.connectAll(["bob", "alice", "bob"], POLLING);
  await Promise.all(pollers.map((client) => client.join(board.room)));
  const moves = [alice, ...pollers].flatMap((client, c) => range(60).map((n) => client.ok("task.move", nthMove(board, n * 4 + c))));
  await Promise.all(moves);
  const fresh = await atrium.snapshot(alice.account, board.room);
  assert.equal(fresh.seq, board.seq + 240);
  for (const client of pollers) {
    await client.agrees(board.room, fresh);
    assert.equal(client.events(board.room).length, 240);
    assert.equal(transport(client), "polling");
    assert.deepEqual(client.ends, []);
    client.close();
  }
});

/** Clients that come in over polling and change to WebSocket while 200 moves and more flow. */
async function upgradeUnderFire(url, options = {}, go = undefined) {
  const road = new Atrium(url);
  const board = await newBoard(alice, { tasks: 12 });
  const writer = await atrium.connect("bob");
  const moving = keepMoving(writer, board, 6);
  const clients = await Promise.all(range(6).map(async (n) => {
    await sleep(n * 13);
    const client = new Client(road, await atrium.signIn(["alice", "bob"][n % 2]), options);
    client.came = { polling: 0, websocket: 0 };
    client.socket.onAny((name) => name.startsWith("task.") && (client.came[transport(client)] += 1));
    await client.ready();
    await client.join(board.room);
    return client;
  }));
  if (go) {
    await until(() => clients.every(({ came }) => came.polling > 5), "events over polling");
    go();
  }
  const task_id = board.tasks[0].id;
  const own = await Promise.all(clients.map(async (client, c) => {
    const calls = [];
    await until(() => {
      calls.push(client.ok("task.update", { task_id, changes: { title: `${c} ${calls.length}` } }));
      return transport(client) === "websocket" && calls.length >= 20;
    }, "the upgrade");
    return Promise.all(calls);
  }));
  await until(() => moving.moves >= 200, "200 moves");
  await until(() => clients.every(({ came }) => came.websocket > 5), "events over WebSocket");
  await moving.stop();
  const fresh = await atrium.snapshot(alice.account, board.room);
  for (const [c, client] of clients.entries()) {
    await client.agrees(board.room, fresh);
    const seqs = own[c].map(({ meta }) => meta.seq);
    assert.deepEqual(seqs, [...seqs].sort((a, b) => a - b), "a client's commands kept their order");
    assert.deepEqual(own[c].map(({ data }) => data.task.title), range(seqs.length).map((n) => `${c} ${n}`));
    assert.deepEqual(client.ends, []);
    client.close();
  }
  writer.close();
}

for (const round of [1, 2, 3]) {
  test(`changing to WebSocket in the midst of traffic, round ${round}`, () => upgradeUnderFire(atrium.url));
}

for (const round of [1, 2]) {
  test(`the same where WebSocket is slow to come, round ${round}`, async () => {
    let go;
    const gate = new Promise((resolve) => (go = resolve));
    const hold = (chunk) => (chunk.subarray(0, 4).toString() === "GET " ? gate : 5 + 50 * Math.random());
    await upgradeUnderFire(await slowRoad(atrium.url, hold), {}, go);
  });
}

test("the same in msgpack", () => upgradeUnderFire(atrium.url, MSGPACK));

test("where WebSocket opens and then carries nothing, polling goes on", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  const probes = [];
  const url = await slowRoad(atrium.url, (chunk, towards) => {
    const start = chunk.subarray(0, 4).toString();
    if (start === "HTTP" || start === "GET ") return 0;
    if (towards === "server") probes.push(chunk);
    return "never";
  });
  const client = new Client(new Atrium(url), await atrium.signIn("bob"), {});
  await client.ready(1, 3000);
  await client.join(board.room);
  await until(() => probes.length, "the probe");
  for (const n of range(20)) await alice.ok("task.move", nthMove(board, n));
  await client.ok("task.move", nthMove(board, 20));
  await client.agrees(board.room);
  assert.equal(transport(client), "polling");
  client.close();
});

test("where WebSocket breaks in the middle of the probe, polling goes on", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  let broken = 0;
  const url = await slowRoad(atrium.url, (chunk, towards) => {
    if (towards === "client" || chunk.subarray(0, 4).toString() === "GET ") return 0;
    broken += 1;
    return "break";
  });
  const client = new Client(new Atrium(url), await atrium.signIn("bob"), {});
  await client.ready();
  await client.join(board.room);
  for (const n of range(20)) await alice.ok("task.move", nthMove(board, n));
  await client.agrees(board.room);
  assert.ok(broken);
  client.close();
});
