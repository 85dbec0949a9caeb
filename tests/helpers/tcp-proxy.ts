/** A TCP proxy in this process that a test makes good or bad: it stands between workerd and the broker. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

export interface TcpProxy {
  readonly port: number;
  /** Everything goes through; also what was held. */
  pass(): void;
  /** Nothing goes through, either way, and nobody is told. New connections are taken, and held too. */
  hold(): void;
  /** What the server says waits, piece by piece; the pieces that come meanwhile go together. */
  slow(pieceMs: () => number): void;
  /**
   * From the first piece on that contains `text`, what the server says is lost, without a word: such a
   * connection never speaks again, while what the client says still arrives.
   *
   * @returns resolves when the first piece is lost
   */
  swallowAnswers(text: string): Promise<void>;
  /** Ends every connection at once; new ones fare as before. */
  cut(): void;
  /** Ends every connection, and each new one as soon as it comes. */
  refuse(): void;
  close(): Promise<void>;
}

type Mode =
  | { readonly kind: "pass" | "hold" | "refuse" }
  | { readonly kind: "slow"; readonly pieceMs: () => number }
  | { readonly kind: "swallow"; readonly text: string; readonly lost: () => void };

/** @param serverPort on 127.0.0.1; need not listen yet */
export async function startTcpProxy(serverPort: number): Promise<TcpProxy> {
  let mode: Mode = { kind: "pass" };
  let changed = Promise.withResolvers<void>();
  const open = new Map<Socket, Socket>();

  function become(next: Mode): void {
    mode = next;
    changed.resolve();
    changed = Promise.withResolvers();
  }

  async function unheld(): Promise<void> {
    while (mode.kind === "hold") await changed.promise;
  }

  /** Reads on only when the piece before is written: what waits is bounded by the sockets' buffers. */
  async function carry(from: Socket, to: Socket, isAnswer: boolean): Promise<void> {
    let isMute = false;
    for await (const piece of from as AsyncIterable<Buffer>) {
      await unheld();
      if (isAnswer && mode.kind === "slow") await delay(mode.pieceMs());
      if (isAnswer && mode.kind === "swallow" && !isMute && piece.includes(mode.text)) {
        isMute = true;
        mode.lost();
      }
      if (!isMute && !to.write(piece)) await once(to, "drain");
    }
    to.end();
  }

  function end(): void {
    for (const [client, server] of open) {
      client.resetAndDestroy();
      server.destroy();
    }
    open.clear();
  }

  function join(client: Socket): void {
    if (mode.kind === "refuse") {
      client.resetAndDestroy();
      return;
    }
    const server = connect(serverPort, "127.0.0.1");
    open.set(client, server);
    client.once("close", () => open.delete(client));
    for (const socket of [client, server]) socket.setNoDelay(true);
    for (const [from, to, isAnswer] of [
      [client, server, false],
      [server, client, true],
    ] as const) {
      // A side that is gone takes the other with it.
      carry(from, to, isAnswer).catch(() => to.destroy());
      from.on("error", () => to.destroy());
    }
  }

  const listener = createServer(join).listen(0, "127.0.0.1");
  await once(listener, "listening");
  return {
    port: (listener.address() as AddressInfo).port,
    pass: () => become({ kind: "pass" }),
    hold: () => become({ kind: "hold" }),
    slow: (pieceMs) => become({ kind: "slow", pieceMs }),
    async swallowAnswers(text) {
      const { promise, resolve } = Promise.withResolvers<void>();
      become({ kind: "swallow", text, lost: resolve });
      await promise;
    },
    cut: end,
    refuse() {
      become({ kind: "refuse" });
      end();
    },
    async close() {
      become({ kind: "refuse" });
      end();
      listener.close();
      await once(listener, "close");
    },
  };
}
