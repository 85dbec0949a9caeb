/** Who is cut off for taking nothing, and who is not. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { cutOffStalled } from "./byte-streams.ts";

const STALL_MS_MAX = 50;

async function answering(
  answer: (response: ServerResponse) => Promise<void>,
): Promise<[number, () => void]> {
  const server = createServer((_, response) => {
    cutOffStalled(response, STALL_MS_MAX);
    void answer(response);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return [(server.address() as AddressInfo).port, () => server.close()];
}

test("a reader who waits for the next chunk of a slow query is not cut off", async () => {
  const [port, close] = await answering(async (response) => {
    response.write("a");
    await sleep(STALL_MS_MAX * 6);
    response.end("b");
  });
  expect(await (await fetch(`http://127.0.0.1:${port}`)).text()).toBe("ab");
  close();
});

test("a reader who takes nothing of what waits is cut off, also after a pause of the query", async () => {
  const closed = Promise.withResolvers<boolean>();
  const [port, close] = await answering(async (response) => {
    response.on("close", () => closed.resolve(response.writableFinished));
    response.write("a");
    await sleep(STALL_MS_MAX * 3);
    // More than the buffers of two sockets hold.
    response.end(Buffer.alloc(40_000_000));
  });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  socket.pause();
  expect(await closed.promise).toBe(false);
  socket.destroy();
  close();
});
