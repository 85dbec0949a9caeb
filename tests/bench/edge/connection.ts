/** One keep-alive connection with at most one request on its way. */
import { connect } from "node:net";
import type { Socket } from "node:net";
import { WrongResultError } from "../bench-case.ts";
import { ResponseReader } from "./http-response.ts";
import type { OnResponse } from "./http-response.ts";
import { ANSWER_MS_MAX } from "./limits.ts";
import type { RequestTemplate } from "./request-template.ts";

export class Connection {
  readonly template: RequestTemplate;
  readonly #socket: Socket;
  #onResponse: OnResponse | null = null;
  #lost = false;

  private constructor(
    socket: Socket,
    template: RequestTemplate,
    onLost: (error: WrongResultError) => void,
    answerMsMax: number,
  ) {
    this.template = template;
    this.#socket = socket;
    const reader = new ResponseReader((status, body) => {
      const onResponse = this.#onResponse;
      if (onResponse === null) throw new Error("an answer to no request");
      this.#onResponse = null;
      onResponse(status, body);
    });
    const lose = (error: Error) => {
      if (this.#lost) return;
      this.#lost = true;
      socket.destroy();
      onLost(new WrongResultError([`a request got no answer: ${error.message}`]));
    };
    socket.on("data", (bytes: Buffer) => {
      try {
        reader.push(bytes);
      } catch (error) {
        lose(error as Error);
      }
    });
    socket.on("error", lose);
    socket.setTimeout(answerMsMax, () => {
      if (this.#onResponse !== null) lose(new Error(`nothing came within ${answerMsMax} ms`));
    });
    socket.on("close", () => {
      // Without a request on its way it is the server's to close.
      if (this.#onResponse === null) this.#lost = true;
      else lose(new Error("its connection was closed"));
    });
  }

  /**
   * @param onLost called when there is no more use for it, at most once; not when it is closed while idle
   * @param answerMsMax how long a request may wait without a byte of its answer
   */
  static open(
    port: number,
    template: RequestTemplate,
    onLost: (error: WrongResultError) => void,
    answerMsMax = ANSWER_MS_MAX,
  ): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Connection(socket, template, onLost, answerMsMax));
      });
    });
  }

  get isLost(): boolean {
    return this.#lost;
  }

  /** @param request may be written over as soon as the answer is there */
  send(request: Uint8Array, onResponse: OnResponse): void {
    this.#onResponse = onResponse;
    this.#socket.write(request);
  }

  /** While no request is on its way. */
  close(): void {
    this.#socket.destroy();
  }
}
