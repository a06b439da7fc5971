// A server of one's own: heartbeats and slow clients; killed under load and started again;
// without its database for a while; told to stop.
import assert from "node:assert/strict";
import test, { afterEach } from "node:test";
import { io } from "socket.io-client";
import { Client, MSGPACK, OwnServer, POLLING, WEBSOCKET, newBoard, nthMove, randomUUID, range, sleep, until } from "./helper.mjs";

const REJOIN_WITHIN = 30_000; // ms; a stock client waits up to 5 s between its attempts

const DRAIN = 1; // s that clients are given
const HARD_LIMIT = 256 * 1024; // bytes unsent after which a client must catch up by itself

const server = await OwnServer.start({
  env: {
    ATRIUM_DRAIN_SECONDS: `${DRAIN}`,
    ATRIUM_PING_INTERVAL: "0.2",
    ATRIUM_SEND_HARD_LIMIT: `${HARD_LIMIT}`,
  },
});

afterEach(() => server.running || server.start());

test("heartbeats keep every kind of connection", async () => {
  const kinds = [WEBSOCKET, POLLING, {}, { ...MSGPACK, ...WEBSOCKET }, { ...MSGPACK, ...POLLING }, MSGPACK];
  const clients = await Promise.all(kinds.map((options) => server.connect("alice", options)));
  const pings = clients.map((client) => {
    const counted = { pings: 0 };
    client.socket.io.on("ping", () => (counted.pings += 1));
    return counted;
  });
  await until(() => pings.every((counted) => counted.pings >= 5), () => `five pings each, had ${JSON.stringify(pings)}`);
  for (const client of clients) {
    assert.deepEqual(client.ends, []);
    client.close();
  }
});

test("a client that does not read is told to join again, and catches up", async () => {
  const writer = await server.connect("alice");
  const board = await newBoard(writer);
  const slow = await server.connect("bob");
  await slow.join(board.room);
  await writer.ok("task.move", nthMove(board, 0));
  await slow.reaches(board.room, board.seq + 1);

  const { ws } = slow.socket.io.engine.transport;
  ws.pause();
  const task_id = board.tasks[0].id;
  const large = range(300).map((n) => writer.ok("task.update", { task_id, changes: { description: `${n} `.padEnd(50_000, "x") } }));
  await Promise.all(large);
  ws.resume();
  const resync = await slow.hears("room.resync");
  assert.deepEqual(resync, { room: board.room, since_seq: slow.copies.get(board.room).seq });
  assert.ok(resync.since_seq < board.seq + 301);

  await writer.ok("task.move", nthMove(board, 1));
  // What it missed is 20 MB and more: the state is less than that.
  assert.equal((await slow.rejoin(board.room)).mode, "snapshot");
  await writer.ok("task.move", nthMove(board, 2));
  await slow.agrees(board.room);
  assert.deepEqual(slow.ends, []);
  slow.close();
});

test("SIGKILL under load: what was acknowledged is there once, and everybody agrees again", async () => {
  const options = { ...WEBSOCKET, reconnectionDelay: 100, reconnectionDelayMax: 400 };
  const clients = await server.connectAll(["alice", "bob", "alice", "bob"], options);
  const board = await newBoard(clients[0], { tasks: 12 });
  await Promise.all(clients.map((client) => client.join(board.room)));
  for (const client of clients) {
    client.socket.on("session.ready", () => client.rejoin(board.room).catch(() => {}));
  }

  // Each client keeps commands in flight; one that is not answered is sent again under its id, by hand as any
  // stock client can: what socket.io-client itself has buffered is not needed for it.
  const sent = new Map();
  const acknowledged = new Map();
  let stopped = false;
  const lanes = clients.flatMap((client, c) => range(3).map(async (lane) => {
    for (let n = 0; !stopped; n += 1) {
      const command = { ...nthMove(board, n * 12 + c * 3 + lane), command_id: randomUUID() };
      sent.set(command.command_id, command);
      for (let reply; ; ) {
        reply = await client.socket.timeout(1500).emitWithAck("task.move", command).catch(() => null);
        if (reply?.success) {
          acknowledged.set(command.command_id, reply);
          break;
        }
        if (reply) assert.equal(reply.error.code, "UNAVAILABLE", JSON.stringify(reply.error));
        await sleep(20);
      }
    }
  }));

  await until(() => acknowledged.size > 150, "150 acknowledged moves");
  server.signal("SIGKILL");
  await server.exited;
  const before = acknowledged.size;
  await until(() => clients.every((client) => client.ends.length), "everybody to notice");
  await server.start();
  await until(() => clients.every((client) => client.all("session.ready").length > 1), "everybody to be back", REJOIN_WITHIN);
  await until(() => acknowledged.size > before + 150, "150 more moves");
  stopped = true;
  await Promise.all(lanes);
  assert.equal(acknowledged.size, sent.size);

  const fresh = await server.snapshot(clients[0].account, board.room);
  for (const client of clients) await client.agrees(board.room, fresh);

  const log = [];
  while (board.seq + log.length < fresh.seq) {
    const { data } = await server.rest(clients[0].account, "GET", `/rooms/${board.room}/events?limit=100&since=${board.seq + log.length}`);
    log.push(...data.events);
  }
  assert.deepEqual(log.map(({ seq }) => seq), range(log.length).map((n) => board.seq + 1 + n));
  assert.deepEqual(log.map(({ command_id }) => command_id).sort(), [...sent.keys()].sort(), "each command once");
  for (const event of log) {
    const reply = acknowledged.get(event.command_id);
    assert.equal(reply.meta.seq, event.seq);
    assert.deepEqual(reply.data, event.data);
  }
  for (const client of clients) {
    const copy = client.copies.get(board.room);
    assert.equal(JSON.stringify(copy.events), JSON.stringify(log));
    client.close();
  }
});

/** Sign in three over that transport, and have the server told to stop while 90 of their moves are on the way. */
async function stopUnderLoad(options) {
  const clients = await server.connectAll(["alice", "bob", "bob"], options);
  for (const client of clients) client.socket.io.reconnection(false);
  const board = await newBoard(clients[0], { tasks: 12 });
  await Promise.all(clients.map((client) => client.join(board.room)));
  const moves = range(90).map((n) => clients[n % 3].call("task.move", nthMove(board, n)));
  const started = Date.now();
  server.signal("SIGTERM");
  for (const client of clients) {
    const draining = await client.hears("server.draining");
    assert.deepEqual(Object.keys(draining), ["reconnect_in_ms"]);
    assert.ok(Number.isInteger(draining.reconnect_in_ms));
    assert.ok(draining.reconnect_in_ms >= 0 && draining.reconnect_in_ms < DRAIN * 1000, "within the time given");
  }
  for (const reply of await Promise.all(moves)) assert.ok(reply.success, JSON.stringify(reply.error));
  for (const client of clients) await client.reaches(board.room, board.seq + 90);
  return { clients, started };
}

async function endsWell(started) {
  const [code] = await server.exited;
  assert.equal(code, 0, server.log);
  assert.ok(Date.now() - started < (DRAIN + 6) * 1000, "it does not outstay its time");
  assert.doesNotMatch(server.log, /Traceback/);
  await server.start();
}

test("SIGTERM: clients are told, what is under way is answered, and it ends with a proper close", async () => {
  const { clients, started } = await stopUnderLoad(WEBSOCKET);
  const [first, second, third] = clients;
  const codes = [first, second].map((client) => new Promise((resolve) => client.socket.io.engine.transport.ws.on("close", resolve)));

  const auth = { token: first.account.token };
  const late = io(server.url, { ...WEBSOCKET, auth, forceNew: true, reconnection: false });
  const answer = await new Promise((resolve) => {
    late.on("connect_error", () => resolve("refused"));
    late.on("disconnect", () => resolve("refused"));
    late.on("connect", () => resolve("let in"));
  });
  late.disconnect();
  assert.equal(answer, "refused", "a server that drains takes nobody in");

  third.close();
  assert.deepEqual(await Promise.all(codes), [1012, 1012], "service restart (RFC 6455, 7.4.1, IANA)");
  await endsWell(started);
  for (const client of [first, second]) {
    await until(() => client.ends.length, "the end");
    assert.deepEqual(client.ends, ["transport close"], "a stock client comes back by itself after this");
    assert.deepEqual(client.all("room.closed"), []);
  }
});

test("SIGTERM: the same over polling", async () => {
  const { clients, started } = await stopUnderLoad(POLLING);
  for (const client of clients) client.close();
  await endsWell(started);
});

test("while the database is away stock clients keep trying, and get in when it is back", async () => {
  const account = await server.signIn("bob");
  const board = await newBoard(await server.connect("alice"));
  const line = server.log.split("\n").findLast((text) => text.includes("embedded Postgres is ready"));
  const postgres = JSON.parse(line).pid;
  const options = { ...WEBSOCKET, reconnectionDelay: 50, reconnectionDelayMax: 200 };
  const clients = [];
  const refusals = [];
  for (const n of range(30)) {
    if (n === 3) process.kill(postgres, "SIGKILL");
    const client = new Client(server, account, options);
    client.socket.on("connect_error", (error) => error.data && refusals.push(error.data.code));
    clients.push(client);
    await sleep(15);
  }
  await until(
    () => clients.every((client) => client.socket.connected),
    () => `${clients.filter((client) => !client.socket.connected).length} of 30 that were refused: ${refusals}`,
    5000,
  );
  for (const client of clients) client.close();
  const bob = await server.connect("bob");
  await bob.join(board.room);
  await bob.ok("task.move", nthMove(board, 1));
  await bob.agrees(board.room);
});

test("SIGTERM: who comes back when told to finds everything", async () => {
  const client = await server.connect("bob", { ...WEBSOCKET, reconnectionDelay: 100, reconnectionDelayMax: 300 });
  const board = await newBoard(await server.connect("alice", WEBSOCKET), { tasks: 4 });
  await client.join(board.room);
  await client.ok("task.move", nthMove(board, 1));
  client.socket.on("server.draining", ({ reconnect_in_ms }) => {
    setTimeout(() => client.socket.disconnect().connect(), reconnect_in_ms);
  });
  assert.equal(await server.stop(), 0);
  await server.start();
  await client.ready(2);
  const joined = await client.rejoin(board.room);
  assert.equal(joined.mode, "current");
  await client.ok("task.move", nthMove(board, 2));
  await client.agrees(board.room);
});
