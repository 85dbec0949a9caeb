/** A stream in memory, for tests: what readers, fences and the trimmer ask of JetStream, and how often. */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";

interface Held {
  readonly seq: number;
  readonly subject: string;
  readonly data: Uint8Array;
}

export class StreamFake {
  #held: Held[] = [];
  #newest = 0;
  /** Requests for a message. */
  asked = 0;
  /** The next publish finds that somebody else was faster. */
  racedBy: Uint8Array | null = null;

  add(subject: string, data: Uint8Array): number {
    this.#newest++;
    this.#held.push({ seq: this.#newest, subject, data });
    return this.#newest;
  }

  sequences(): number[] {
    return this.#held.map((m) => m.seq);
  }

  readonly manager = {
    streams: {
      info: () =>
        Promise.resolve({
          config: { max_bytes: 0 },
          state: {
            first_seq: this.#held[0]?.seq ?? 0,
            bytes: 0,
            subjects: Object.fromEntries(this.#held.map((m) => [m.subject, 1])),
          },
        }),
      getMessage: (_: string, query: Query) => {
        this.asked++;
        const found =
          "last_by_subj" in query
            ? this.#held.findLast((m) => m.subject === query.last_by_subj)
            : this.#held.find((m) => m.seq >= query.seq && m.subject === query.next_by_subj);
        return Promise.resolve(
          found === undefined ? null : { ...found, header: new Map(), time: new Date(0) },
        );
      },
      purge: (_: string, { filter, seq }: { filter: string; seq: number }) => {
        const before = this.#held.length;
        this.#held = this.#held.filter((m) => m.subject !== filter || m.seq >= seq);
        return Promise.resolve({ purged: before - this.#held.length });
      },
      deleteMessage: (_: string, seq: number) => {
        this.#held = this.#held.filter((m) => m.seq !== seq);
        return Promise.resolve(true);
      },
    },
  } as unknown as JetStreamManager;

  readonly js = {
    publish: (
      subject: string,
      data: Uint8Array,
      { expect }: { expect: { lastSubjectSequence: number } },
    ) => {
      if (this.racedBy !== null) this.add(subject, this.racedBy);
      this.racedBy = null;
      const last = this.#held.findLast((m) => m.subject === subject)?.seq ?? 0;
      if (last !== expect.lastSubjectSequence) {
        return Promise.reject(
          new JetStreamApiError({
            code: 400,
            err_code: JetStreamApiCodes.StreamWrongLastSequence,
            description: `wrong last sequence: ${last}`,
          }),
        );
      }
      return Promise.resolve({ seq: this.add(subject, data), duplicate: false });
    },
  } as unknown as JetStreamClient;
}

type Query =
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj: string };
