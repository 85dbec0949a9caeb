/** What every answer of `POST /v1/clicks` has to be, whatever was sent. */
import { PROBLEM_CODES, REJECTION_CODES } from "../../wire/ingest.ts";
import type { ClickResult, IngestAnswer } from "../../wire/ingest.ts";

/** An answer that no SDK could make sense of; the message says why. */
export class WrongAnswer extends Error {
  override name = "WrongAnswer";
}

const PROBLEM_STATUSES = new Set([400, 413, 415]);
/** What a sentence may be long; the sender's own text in it is cut. */
const DETAIL_CHARACTERS_MAX = 500;

/** The code of a refusal of the whole request. */
export function checkProblem(status: number, body: unknown): string {
  const { code, detail, status: said, type, title } = (body ?? {}) as Record<string, unknown>;
  if (!PROBLEM_STATUSES.has(status)) throw new WrongAnswer(`status ${status}`);
  if (said !== status || type !== "about:blank" || typeof title !== "string") {
    throw new WrongAnswer(`no problem+json: ${JSON.stringify(body)}`);
  }
  if (typeof code !== "string" || !(PROBLEM_CODES as readonly string[]).includes(code)) {
    throw new WrongAnswer("a problem without a code that is documented");
  }
  if (typeof detail !== "string" || !/send /.test(detail)) {
    throw new WrongAnswer(`${code} does not say what to send`);
  }
  if (detail.length > DETAIL_CHARACTERS_MAX) {
    throw new WrongAnswer(`${code} has ${detail.length} characters of detail`);
  }
  return code;
}

/** Checks that the tally is the results', and that each result says what it has to. */
export function checkFates(body: unknown): IngestAnswer {
  const answer = body as IngestAnswer;
  const tally = { accepted: 0, duplicate: 0, rejected: 0, unavailable: 0 };
  for (const result of answer.results) {
    if (!(result.status in tally)) throw new WrongAnswer(`fate ${result.status}`);
    tally[result.status]++;
    checkFate(result);
  }
  for (const [status, count] of Object.entries(tally)) {
    if (answer[status as keyof typeof tally] !== count) {
      throw new WrongAnswer(`${status} is not the ${count} that the results say`);
    }
  }
  return answer;
}

function checkFate({ status, code, message, click_id }: ClickResult): void {
  const hasCode = code !== undefined && REJECTION_CODES.includes(code);
  if ((status === "rejected") !== hasCode) throw new WrongAnswer(`${status} ${code}`);
  if (status === "rejected" && !/send /.test(message ?? "")) {
    throw new WrongAnswer(`${code} does not say what to send`);
  }
  if (status !== "rejected" && typeof click_id !== "string") {
    throw new WrongAnswer(`${status} without an id`);
  }
}
