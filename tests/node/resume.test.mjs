// Coming back: exactly what was missed, nothing, or a snapshot; and joining while others write.
import assert from "node:assert/strict";
import test, { before } from "node:test";
import { Atrium, POLLING, WEBSOCKET, keepMoving, keys, newBoard, nthMove, randomUUID, range, sleep, until } from "./helper.mjs";

const atrium = new Atrium(process.env.ATRIUM_URL);
let alice;

before(async () => {
  alice = await atrium.connect("alice");
});

test("a join's answer to the letter", async () => {
  const board = await newBoard(alice);
  const bob = await atrium.connect("bob");
  const joined = await bob.join(board.room);
  assert.deepEqual(keys(joined), ["epoch", "mode", "permissions", "presence", "room", "seq", "snapshot"]);
  assert.equal(joined.room, board.room);
  assert.equal(joined.mode, "snapshot");
  assert.equal(joined.seq, board.seq);
  assert.ok(joined.permissions.includes("task.edit") && !joined.permissions.includes("board.edit"));
  const again = await bob.rejoin(board.room);
  assert.deepEqual(keys(again), ["epoch", "mode", "permissions", "presence", "room", "seq"]);
  assert.equal(again.mode, "current");
  bob.close();
});

test("who was away gets exactly what he missed, then goes on live", async () => {
  const board = await newBoard(alice);
  const bob = await atrium.connect("bob");
  await bob.join(board.room);
  for (const n of range(3)) await alice.ok("task.move", nthMove(board, n));
  await bob.agrees(board.room);
  const seen = bob.copies.get(board.room).seq;

  bob.socket.disconnect();
  for (const n of range(7)) await alice.ok("task.move", nthMove(board, 3 + n));
  await alice.ok("task.delete", { task_id: board.tasks[0].id });
  bob.socket.connect();
  await bob.ready(2);

  const joined = await bob.rejoin(board.room);
  assert.equal(joined.mode, "events");
  assert.deepEqual(keys(joined), ["epoch", "events", "mode", "permissions", "presence", "room", "seq"]);
  assert.deepEqual(joined.events.map(({ seq }) => seq), range(8).map((n) => seen + 1 + n));
  const { data } = await atrium.rest(alice.account, "GET", `/rooms/${board.room}/events?since=${seen}`);
  assert.deepEqual(joined.events, data.events);
  await bob.agrees(board.room);

  const current = await bob.rejoin(board.room);
  assert.equal(current.mode, "current");
  await alice.ok("task.move", nthMove(board, 11));
  await bob.agrees(board.room);
  bob.close();
});

test("another epoch, a number from the future, and too long a list give a snapshot", async () => {
  const board = await newBoard(alice);
  const bob = await atrium.connect("bob");
  const { epoch, seq } = await bob.join(board.room);
  for (const since of [{ epoch: randomUUID(), seq }, { epoch: "x", seq }, { epoch, seq: seq + 1 }, { epoch, seq: 2 ** 53 - 1 }]) {
    const joined = await bob.join(board.room, since);
    assert.equal(joined.mode, "snapshot", JSON.stringify(since));
    await bob.agrees(board.room);
  }
  const { limits } = await bob.ready();
  const task_id = board.tasks[0].id;
  await Promise.all(range(limits.resume_events + 1).map((n) => alice.ok("task.update", { task_id, changes: { title: `T${n}` } })));
  assert.equal((await bob.join(board.room, { epoch, seq })).mode, "snapshot");
  const rest = await bob.ok("room.join", { room: board.room, since: { epoch, seq: seq + 1 } });
  assert.equal(rest.data.mode, "events");
  assert.equal(rest.data.events.length, limits.resume_events);
  bob.close();
});

test("joining twice, and many times at once, changes nothing", async () => {
  const board = await newBoard(alice);
  const bob = await atrium.connect("bob");
  await Promise.all(range(10).map(() => bob.join(board.room)));
  await bob.rejoin(board.room);
  for (const n of range(10)) await alice.ok("task.move", nthMove(board, n));
  await bob.agrees(board.room);
  assert.equal(bob.events(board.room).length, 10);
  bob.close();
});

test("15 clients join in the midst of writing: snapshot, and every event after it", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  const writer = await atrium.connect("bob");
  const moving = keepMoving(writer, board, 6);
  const names = range(15).map((n) => ["alice", "bob"][n % 2]);
  const clients = await Promise.all(names.map(async (name, n) => {
    await sleep(n * 20);
    const client = await atrium.connect(name, n % 3 === 2 ? POLLING : WEBSOCKET);
    const joined = await client.join(board.room);
    assert.equal(joined.mode, "snapshot");
    return [client, joined];
  }));
  await until(() => moving.moves > 200, "200 moves");
  await moving.stop();
  const fresh = await atrium.snapshot(alice.account, board.room);
  for (const [client, joined] of clients) {
    await client.agrees(board.room, fresh);
    const seqs = client.events(board.room).map(({ seq }) => seq);
    assert.deepEqual(seqs, range(fresh.seq - joined.seq).map((n) => joined.seq + 1 + n));
    client.close();
  }
  writer.close();
});

test("going and coming back in the midst of writing loses nothing", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  const writer = await atrium.connect("bob");
  const moving = keepMoving(writer, board, 4);
  const modes = new Set();
  const quick = { ...WEBSOCKET, reconnectionDelay: 20, reconnectionDelayMax: 50 };
  const clients = await atrium.connectAll(range(6).map((n) => ["alice", "bob"][n % 2]), quick);
  await Promise.all(clients.map(async (client, n) => {
    await client.join(board.room);
    for (const round of range(4)) {
      await sleep(15 + 7 * n);
      if (n % 2) {
        client.socket.io.engine.close(); // the network goes, not the person: the stock client comes back by itself
        await until(() => client.ends.length > round, "the connection to break");
      } else {
        client.socket.disconnect().connect();
      }
      await client.ready(round + 2);
      modes.add((await client.rejoin(board.room)).mode);
    }
  }));
  await until(() => moving.moves > 100, "100 moves");
  await moving.stop();
  const fresh = await atrium.snapshot(alice.account, board.room);
  for (const client of clients) {
    await client.agrees(board.room, fresh);
    const seqs = client.copies.get(board.room).events.map(({ seq }) => seq);
    assert.deepEqual(seqs, range(seqs.length).map((n) => seqs[0] + n));
    client.close();
  }
  assert.ok(!modes.has("snapshot"), `modes: ${[...modes]}`);
});

test("joining again while live, in the midst of writing, makes no hole and no repeat", async () => {
  const board = await newBoard(alice, { tasks: 12 });
  const writer = await atrium.connect("bob");
  const bob = await atrium.connect("bob");
  await bob.join(board.room);
  const moving = keepMoving(writer, board, 4);
  for (const _ of range(15)) {
    await bob.rejoin(board.room);
    await sleep(10);
  }
  await moving.stop();
  await bob.agrees(board.room);
  bob.close();
});
