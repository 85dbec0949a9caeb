/** What a click's row says of where it came from; platform.ts finds it out. */
export interface Sender {
  /** Two ASCII characters, `XX` where unknown. */
  readonly country: string;
  /** The client's address, or empty. */
  readonly ip: string;
}
