/** What a run has sent and what came back for it: every click is new, so every answer must say `accepted`. */

/** Of answers that are wrong, so many are told in words; all are counted. */
const FAULTS_TOLD_MAX = 5;
/** Of a wrong answer's body. */
const BODY_TOLD_CHARACTERS = 200;

export class Book {
  #sent = 0;
  #accepted = 0;
  #wrong = 0;
  readonly #told: string[] = [];
  /** By clicks of a request, how the body of a right answer begins: parsing them all would take the CPU of what is measured. */
  readonly #beginnings = new Map<number, Buffer>();

  get sent(): number {
    return this.#sent;
  }

  get accepted(): number {
    return this.#accepted;
  }

  sending(clicks: number): void {
    this.#sent += clicks;
  }

  /** The answer to one request of `clicks` clicks. */
  answered(clicks: number, status: number, body: Uint8Array): void {
    const right = this.#beginning(clicks);
    const found = body.subarray(0, right.length);
    if (status === 202 && right.equals(found)) {
      this.#accepted += clicks;
      return;
    }
    this.#wrong++;
    if (this.#told.length < FAULTS_TOLD_MAX) {
      const text = Buffer.from(body).toString("utf8").slice(0, BODY_TOLD_CHARACTERS);
      this.#told.push(`${clicks} clicks were answered with ${status} ${text}`);
    }
  }

  /** What is wrong, in words; empty when every click sent was accepted. */
  faults(): string[] {
    const faults = [...this.#told];
    if (this.#wrong > this.#told.length) faults.push(`${this.#wrong} answers are wrong in all`);
    if (this.#accepted !== this.#sent) {
      faults.push(`of ${this.#sent} clicks sent ${this.#accepted} were accepted`);
    }
    return faults;
  }

  #beginning(clicks: number): Buffer {
    let beginning = this.#beginnings.get(clicks);
    if (beginning === undefined) {
      beginning = Buffer.from(
        `{"accepted":${clicks},"duplicate":0,"rejected":0,"unavailable":0,"results":[`,
      );
      this.#beginnings.set(clicks, beginning);
    }
    return beginning;
  }
}
