/** The ingest API's document names every code and limit, and no other. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { REJECTED_KEPT_AT_ONCE_MAX, REJECTED_KEPT_EVERY_MS } from "../../edge/limits.ts";
import { PROBLEM_CODES, REJECTION_CODES } from "../../wire/ingest.ts";
import {
  AD_ID_BYTES_MAX,
  BATCH_CLICKS_MAX,
  BODY_BYTES_MAX,
  CLICK_ID_BYTES_MAX,
  CLOCK_DRIFT_MS_MAX,
  REJECTED_BODY_BYTES_MAX,
  REQUEST_IN_FLIGHT_MS_MAX,
  USER_ID_BYTES_MAX,
} from "../../wire/limits.ts";

const document = readFileSync(new URL("../../docs/ingest-api.md", import.meta.url), "utf8");
const section = (title: string) => document.split(/^##+ /m).find((part) => part.startsWith(title))!;
const codesOf = (text: string, row: RegExp) => new Set([...text.matchAll(row)].map(([, c]) => c));

test("rejected clicks have the codes that the document lists", () => {
  const codes = codesOf(section("Codes of a rejected click"), /^\| `([a-z_]+)` +\|/gm);
  expect(codes).toEqual(new Set(REJECTION_CODES));
});

test("refused requests have the codes that the document lists", () => {
  const codes = codesOf(section("Refused requests"), /^\| [45]\d\d +\| `([a-z_]+)` +\|/gm);
  expect(codes).toEqual(new Set(PROBLEM_CODES));
});

test("limits are those of the code", () => {
  expect([CLICK_ID_BYTES_MAX, AD_ID_BYTES_MAX]).toEqual([64, 64]);
  const said = [
    `1 to ${CLICK_ID_BYTES_MAX} printable`,
    `up to ${USER_ID_BYTES_MAX} bytes`,
    `${BATCH_CLICKS_MAX.toLocaleString("en-US")} clicks and ${BODY_BYTES_MAX.toLocaleString("en-US")} bytes`,
    `first ${REJECTED_BODY_BYTES_MAX.toLocaleString("en-US")}`,
    `${REJECTED_KEPT_AT_ONCE_MAX.toLocaleString("en-US")} at once and one more every ${REJECTED_KEPT_EVERY_MS / 1_000} seconds`,
    `drifts by up to ${CLOCK_DRIFT_MS_MAX / 1_000} seconds`,
    `up to ${REQUEST_IN_FLIGHT_MS_MAX / 60_000} minutes in flight`,
    `more than ${CLOCK_DRIFT_MS_MAX / 1_000} seconds when this attempt takes ${REQUEST_IN_FLIGHT_MS_MAX / 60_000} minutes`,
    `more than ${(REQUEST_IN_FLIGHT_MS_MAX + CLOCK_DRIFT_MS_MAX) / 1_000} seconds when it arrives at once`,
  ];
  for (const words of said) expect(document.replaceAll("\n", " ")).toContain(words);
});
