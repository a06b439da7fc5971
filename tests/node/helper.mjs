// What the tests of the stock client share: a server, people, connections, and a copy of a room that is kept by
// nothing but its snapshot and its events.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { io } from "socket.io-client";
import parser from "socket.io-msgpack-parser";

export const PATIENCE = 20_000; // ms that anything may take before a test gives up; nothing is measured here
const PASSWORD = "atrium-demo";
const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export const WEBSOCKET = { transports: ["websocket"] };
export const POLLING = { transports: ["polling"] };
export const MSGPACK = { path: "/msgpack/socket.io/", parser };

export const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const range = (count) => Array.from({ length: count }, (_, index) => index);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const keys = (object) => Object.keys(object).sort();
export { randomUUID };

/** Wait until a condition holds; `what` is for the reader of the failure. */
export async function until(condition, what, patience = PATIENCE) {
  for (const end = Date.now() + patience; ; await sleep(4)) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > end) assert.fail(`waited in vain for ${typeof what === "function" ? what() : what}`);
  }
}

const ends = [];
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** Have something done when the file's tests are; what began last ends first. */
export const atEnd = (end) => ends.push(end);

/** A running server, and the people of its demo world. */
export class Atrium {
  #signedIn = new Map();

  constructor(url) {
    assert.ok(url, "ATRIUM_URL says where the server is: run these tests through pytest");
    this.url = url;
  }

  async rest(account, method, path, body, headers = {}) {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        ...(account && { authorization: `Bearer ${account.token}` }),
        ...(body && { "content-type": "application/json" }),
        ...headers,
      },
      body: body && JSON.stringify(body),
    });
    return response.json();
  }

  /** Sign in as `alice`, or `mallory@rival`. A person signs in once per file. */
  signIn(name) {
    if (!this.#signedIn.has(name)) this.#signedIn.set(name, this.#login(name));
    return this.#signedIn.get(name);
  }

  async #login(name) {
    const email = name.includes("@") ? `${name}.example` : `${name}@acme.example`;
    const reply = await this.rest(null, "POST", "/auth/login", { email, password: PASSWORD });
    assert.ok(reply.success, `${email} cannot sign in: ${JSON.stringify(reply.error)}`);
    return { token: reply.data.access_token, user: reply.data.user, tenant: reply.data.tenant };
  }

  /** A connection of that person which has got its `session.ready`. */
  async connect(name, options = WEBSOCKET) {
    const client = new Client(this, await this.signIn(name), options);
    await client.ready();
    return client;
  }

  connectAll(names, options = WEBSOCKET) {
    return Promise.all(names.map((name) => this.connect(name, options)));
  }

  async snapshot(account, room) {
    const reply = await this.rest(account, "GET", `/rooms/${room}/snapshot`);
    assert.ok(reply.success, JSON.stringify(reply.error));
    return reply.data;
  }
}

/** One stock client: what it heard, and its copies of the rooms it joined. */
export class Client {
  heard = [];
  copies = new Map();
  ends = [];

  constructor(atrium, account, options = WEBSOCKET) {
    this.atrium = atrium;
    this.account = account;
    this.socket = io(atrium.url, { auth: { token: account.token }, forceNew: true, ...options });
    this.socket.onAny((name, event) => {
      this.heard.push([name, event]);
      if (event?.seq !== undefined) this.copies.get(event.room)?.apply(name, event);
    });
    this.socket.on("disconnect", (reason) => this.ends.push(reason));
    atEnd(() => this.close());
  }

  /** The latest `session.ready`, once there are `times` of them. */
  async ready(times = 1, patience = PATIENCE) {
    let refusal;
    this.socket.once("connect_error", (error) => (refusal = error));
    await until(() => {
      if (refusal?.data) assert.fail(`connection refused: ${JSON.stringify(refusal.data)}`);
      return this.all("session.ready").length >= times;
    }, "session.ready", patience);
    return this.all("session.ready").at(-1);
  }

  all(name) {
    return this.heard.filter(([heard]) => heard === name).map(([, event]) => event);
  }

  /** Events of a room that came live, in the order they came. */
  events(room) {
    return this.heard.map(([, event]) => event).filter((event) => event?.room === room && "seq" in event);
  }

  hears(name, fits = () => true) {
    return until(() => this.all(name).find(fits), () => `${name}; ${this.account.user.name} over ${this.socket.io.engine?.transport?.name} heard ${this.heard.map(([heard]) => heard)}, ends ${this.ends}`);
  }

  /** The reply, whatever it is. `at_once` sees it before the next packet is looked at. */
  call(name, payload = {}, at_once = () => {}) {
    const answered = new Promise((resolve, reject) => {
      this.socket.timeout(PATIENCE).emit(name, payload, (error, reply) => {
        if (error) return reject(new Error(`${name} was not answered`));
        at_once(reply);
        resolve(reply);
      });
    });
    answered.catch(() => {}); // whoever awaits it hears of it, and a test that has failed already is left alone
    return answered;
  }

  async ok(name, payload, at_once) {
    const reply = await this.call(name, payload, at_once);
    assert.ok(reply.success, `${name}: ${JSON.stringify(reply.error)}`);
    return reply;
  }

  async refused(code, name, payload) {
    const reply = await this.call(name, payload);
    assert.equal(reply.success, false, `${name} was accepted: ${JSON.stringify(reply)}`);
    assert.equal(reply.error.code, code, JSON.stringify(reply.error));
    return reply.error;
  }

  /** Join, and keep a copy of the room from then on. With `since` the copy that is there goes on. */
  async join(room, since = undefined) {
    const reply = await this.ok("room.join", { room, ...(since && { since }) }, ({ data }) => {
      if (data?.mode === "snapshot") this.copies.set(room, new Copy(data));
      else if (data) this.copies.get(room)?.resume(data);
    });
    return reply.data;
  }

  /** Join from where our copy is. */
  rejoin(room) {
    const { epoch, seq } = this.copies.get(room);
    return this.join(room, { epoch, seq });
  }

  async reaches(room, seq) {
    const copy = this.copies.get(room);
    await until(() => copy.seq >= seq, () => `${seq} in ${room}, have ${copy.seq}, faults: ${copy.faults}`);
    assert.deepEqual(copy.faults, []);
  }

  /** Our copy of a quiet room must be the room: no fault on the way, and equal to what the server says. */
  async agrees(room, fresh = undefined) {
    fresh ??= await this.atrium.snapshot(await this.atrium.signIn("alice"), room);
    await this.reaches(room, fresh.seq);
    const copy = this.copies.get(room);
    assert.equal(copy.seq, fresh.seq);
    assert.deepEqual(copy.view(), new Copy(fresh).view());
  }

  close() {
    this.socket.disconnect();
  }
}

const plural = (name) => ({ dependency: "dependencies", status: "statuses", time_entry: "time_entries" })[name] ?? `${name}s`;

/** A room as a client knows it: snapshot, then every event folded in. What is wrong with the order is noted. */
export class Copy {
  faults = [];
  events = [];
  #entities = new Map();

  constructor({ epoch, seq, snapshot }) {
    this.epoch = epoch;
    this.seq = seq;
    this.#fold(snapshot);
  }

  resume({ epoch, seq, events = [] }) {
    if (epoch !== this.epoch) this.faults.push(`resumed in another epoch`);
    for (const event of events) {
      if (event.seq > this.seq) this.apply(null, event); // the others came live while the join was on its way
    }
    if (this.seq !== seq) this.faults.push(`the resume ends at ${this.seq}, and should at ${seq}`);
  }

  apply(name, event) {
    if (event.seq !== this.seq + 1) this.faults.push(`${event.seq} (${name}) after ${this.seq}`);
    this.seq = event.seq;
    this.events.push(event);
    this.#fold(event.data);
  }

  /** The one small reducer that the protocol promises is enough. */
  #fold(data) {
    for (const [key, value] of Object.entries(data)) {
      if (key === "was") continue;
      const kind = Array.isArray(value) ? key : plural(key);
      for (const entity of [value].flat()) {
        if (entity?.id === undefined) continue;
        const known = this.#entities.get(kind) ?? new Map();
        this.#entities.set(kind, known);
        if (entity.removed) known.delete(entity.id);
        else known.set(entity.id, { ...known.get(entity.id), ...entity });
      }
    }
  }

  list(kind) {
    return [...(this.#entities.get(kind)?.values() ?? [])];
  }

  get(kind, id) {
    return this.#entities.get(kind)?.get(id);
  }

  view() {
    const lists = [...this.#entities.keys()].sort().map((kind) => [kind, this.list(kind)]);
    const by_id = (a, b) => (a.id < b.id ? -1 : 1);
    return Object.fromEntries(lists.filter(([, list]) => list.length).map(([kind, list]) => [kind, list.sort(by_id)]));
  }
}

/** A new project with some tasks, made by `client`: its room, its columns and its tasks. */
export async function newBoard(client, { tasks = 4, member_ids = [] } = {}) {
  const { data } = await client.ok("project.create", { name: `Board ${randomUUID()}`, member_ids });
  const room = `project:${data.project.id}`;
  await Promise.all(range(tasks).map((n) => client.ok("task.create", { room, title: `Task ${n}` })));
  const { snapshot, seq, epoch } = await client.atrium.snapshot(client.account, room);
  const columns = snapshot.columns.sort((a, b) => (a.position < b.position ? -1 : 1));
  const in_order = (a, b) => (a.position < b.position ? -1 : 1);
  return { id: data.project.id, room, seq, epoch, ...snapshot, columns, tasks: snapshot.tasks.sort(in_order) };
}

/** A move of one of the board's tasks to one of its columns, the n-th of an endless series. */
export const nthMove = (board, n) => ({
  task_id: board.tasks[n % board.tasks.length].id,
  column_id: board.columns[(n * 7 + Math.floor(n / board.tasks.length)) % board.columns.length].id,
});

/** Moves without end, `at_once` of them unanswered at any time, until `stop()`; it tells how many there were. */
export function keepMoving(client, board, at_once = 4) {
  let stopped = false;
  let moves = 0;
  const lanes = range(at_once).map(async () => {
    while (!stopped) {
      await client.ok("task.move", nthMove(board, moves++));
      await sleep(1);
    }
  });
  return {
    get moves() {
      return moves;
    },
    async stop() {
      stopped = true;
      await Promise.all(lanes);
      return moves;
    },
  };
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A server of a test's own, in its own data directory; it goes when the file is done. */
export class OwnServer extends Atrium {
  #arguments;
  #process;
  log = "";

  static async start({ workers = 1, env = {} } = {}) {
    const [port, data] = [await freePort(), await mkdtemp(join(tmpdir(), "atrium-node-"))];
    const server = new OwnServer(port, data, workers, env);
    atEnd(() => server.#discard());
    await server.start();
    return server;
  }

  constructor(port, data, workers, env) {
    super(`http://127.0.0.1:${port}`);
    this.data = data;
    this.env = { ...process.env, ATRIUM_DATA_DIR: data, ATRIUM_RATE_LIMITS: "off", ATRIUM_PROGRESS_DELAY: "0", ...env };
    for (const name of ["DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL"]) delete this.env[name];
    this.#arguments = ["-m", "server", "serve", "--host", "127.0.0.1", "--port", `${port}`, "--demo"];
    if (workers > 1) this.#arguments.push("--workers", `${workers}`);
  }

  async start() {
    const python = process.env.ATRIUM_PYTHON ?? join(ROOT, ".venv/bin/python");
    this.log = "";
    this.#process = spawn(python, this.#arguments, { cwd: ROOT, env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    this.exited = once(this.#process, "exit");
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on("data", (chunk) => (this.log = (this.log + chunk).slice(-20_000)));
    }
    await until(async () => {
      assert.equal(this.#process.exitCode, null, `the server ended at once:\n${this.log}`);
      return fetch(`${this.url}/health`).then((reply) => reply.status === 200, () => false);
    }, () => `the server to start:\n${this.log}`, 60_000);
  }

  get running() {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  signal(name) {
    this.#process.kill(name);
  }

  async stop() {
    this.signal("SIGTERM");
    return (await this.exited)[0];
  }

  async #discard() {
    if (this.running) {
      const killer = setTimeout(() => this.signal("SIGKILL"), 15_000);
      await this.stop();
      clearTimeout(killer);
    }
    await rm(this.data, { recursive: true, force: true });
  }
}
