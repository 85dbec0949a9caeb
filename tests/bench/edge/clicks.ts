/** The clicks of one command: every installation's number is new, ads follow Zipf's law. */
import { makeInstallations } from "../../traffic/installations.ts";
import { Random } from "../../traffic/random.ts";
import { Zipf } from "../../traffic/zipf.ts";
import { RequestTemplate } from "./request-template.ts";

const ADS = 2_000_000;
/** Drawn once and used again and again, because a draw costs more than all else of a click here. */
const AD_DRAWS = 2 ** 18;
/** Countries and user agents come from so many installations; a connection has those of one. */
const SENDERS = 500;

export class Clicks {
  #installs = 0;
  #senders = 0;
  #draws = 0;
  readonly #makeSenders: ReturnType<typeof makeInstallations>;
  readonly #ads: Uint32Array;

  constructor(seed: number) {
    const random = new Random(seed);
    this.#makeSenders = makeInstallations(SENDERS, "bench", random);
    const zipf = new Zipf(ADS);
    this.#ads = Uint32Array.from({ length: AD_DRAWS }, () => zipf.rank(random.next()));
  }

  /** For one connection. */
  template(clicksPerRequest: number): RequestTemplate {
    return new RequestTemplate(clicksPerRequest, this.#makeSenders[this.#senders++ % SENDERS]!);
  }

  fill(template: RequestTemplate): Uint8Array {
    return template.fill(++this.#installs, Date.now(), this.#nextAd);
  }

  readonly #nextAd = () => this.#ads[this.#draws++ % AD_DRAWS]!;
}
