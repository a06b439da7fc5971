// A slow road to the server: what belongs to WebSocket can be held up, or swallowed once the handshake is through.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { atEnd, sleep } from "./helper.mjs";

/**
 * `hold(bytes, towards)` says for how many ms a chunk of a WebSocket connection waits, or gives a promise to
 * wait for, or "never", or "break" to end the connection instead. All else passes at once. The order of chunks stays.
 */
export async function slowRoad(target, hold) {
  const { hostname, port } = new URL(target);
  const ends = new Set();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const end of [client, upstream]) {
      ends.add(end);
      end.on("error", () => {});
      end.on("close", () => [client, upstream].forEach((both) => both.destroy()) || ends.delete(end));
      end.setNoDelay(true);
    }
    let websocket = false;
    const pass = (from, to, towards) => {
      let before = Promise.resolve();
      from.on("data", (chunk) => {
        websocket ||= towards === "server" && chunk.subarray(0, 500).includes("transport=websocket");
        const wait = websocket ? hold(chunk, towards) : 0;
        if (wait === "never") return;
        if (wait === "break") return from.destroy();
        const due = typeof wait === "number" && wait ? sleep(wait) : wait;
        before = before.then(() => due).then(() => to.writable && to.write(chunk));
      });
    };
    pass(client, upstream, "server");
    pass(upstream, client, "client");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  atEnd(() => {
    server.close();
    ends.forEach((end) => end.destroy());
  });
  return `http://127.0.0.1:${server.address().port}`;
}
