/** Publishes with any bytes for headers: every client refuses to write what the broker takes. */
import { once } from "node:events";
import { createConnection } from "node:net";
import { createInterface } from "node:readline";

/** @param host `127.0.0.1:port` @returns the message's sequence in its stream */
export async function publishRaw(
  host: string,
  subject: string,
  headers: Uint8Array,
  body: Uint8Array,
): Promise<number> {
  const { hostname, port } = new URL(`nats://${host}`);
  const socket = createConnection(Number(port), hostname);
  await once(socket, "connect");
  socket.write(
    Buffer.concat([
      Buffer.from(`CONNECT {"headers":true,"verbose":false}\r\nSUB answer 1\r\n`),
      Buffer.from(`HPUB ${subject} answer ${headers.length} ${headers.length + body.length}\r\n`),
      headers,
      body,
      Buffer.from("\r\n"),
    ]),
  );
  try {
    for await (const line of createInterface({ input: socket })) {
      const sequence = /^\{"stream":.*"seq":(\d+)\}$/.exec(line)?.[1];
      if (sequence !== undefined) return Number(sequence);
      if (/^-ERR|^\{"error"|"duplicate":true/.test(line)) throw new Error(`not stored: ${line}`);
    }
  } finally {
    socket.destroy();
  }
  throw new Error("the broker hung up");
}
