/**
 * Requests that no SDK would send, made from ones that it would: changed as values, as text, as bytes
 * and as headers. The same seed gives the same requests.
 */
import { gzipSync } from "node:zlib";
import { BATCH_CLICKS_MAX, BODY_BYTES_MAX } from "../../wire/limits.ts";
import type { Random } from "../traffic/random.ts";

export interface FuzzRequest {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
  /** What was done to it, for the one who has to find out. */
  readonly changes: readonly string[];
}

/** Most bodies are small: large ones are as interesting, but cost as much as a hundred others. */
const LARGE_SHARE = 0.005;
const NESTING_MAX = 50_000;
const GZIP_SHARE = 0.25;

/** @param nowMs the senders' clock */
export function makeRequest(random: Random, nowMs: number): FuzzRequest {
  const changes: string[] = [];
  let value: unknown = envelope(random, nowMs);
  while (random.chance(0.5)) value = change(VALUE_CHANGES, value, random, changes);
  let text = JSON.stringify(value) ?? "";
  while (random.chance(0.4)) text = change(TEXT_CHANGES, text, random, changes);
  let body = encode(text, random, changes);
  while (random.chance(0.25)) body = change(BYTE_CHANGES, body, random, changes);
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (random.chance(GZIP_SHARE)) {
    body = change(GZIP_CHANGES, body, random, changes);
    headers["content-encoding"] = "gzip";
  }
  if (random.chance(0.05)) Object.assign(headers, change(HEADER_CHANGES, {}, random, changes));
  return { body, headers, changes };
}

type Change<T> = (value: T, random: Random) => T;

function change<T>(
  changes: Readonly<Record<string, Change<T>>>,
  value: T,
  random: Random,
  done: string[],
): T {
  const name = random.pick(Object.keys(changes));
  done.push(name);
  return changes[name]!(value, random);
}

interface SentClick {
  click_id: string;
  ad_id: string;
  timestamp: number;
  user_id?: string;
}

function envelope(random: Random, nowMs: number): unknown {
  const count = random.chance(LARGE_SHARE)
    ? random.whole(BATCH_CLICKS_MAX - 2, BATCH_CLICKS_MAX + 2)
    : random.whole(1, 5);
  const install = random.whole(0, 2 ** 48).toString(36);
  const clicks = Array.from({ length: count }, (_, i): SentClick => {
    const click: SentClick = {
      click_id: `${install}.${i}`,
      ad_id: `ad-${random.whole(0, 99)}`,
      timestamp: nowMs - random.whole(0, 60_000),
    };
    if (random.chance(0.3)) click.user_id = random.pick(["u1", "ü", "광고", "\u{1f600}"]);
    return click;
  });
  return random.chance(0.3) ? clicks[0] : { sent_at: nowMs, clicks };
}

/** Whatever JSON can say where something else was expected. */
function anything(random: Random): unknown {
  return random.pick<() => unknown>([
    () => null,
    () => true,
    () => "",
    () => 0,
    () => -1,
    () => random.whole(0, 2 ** 53 - 1),
    () => random.next(),
    () => 1e300,
    () => [],
    () => ({}),
    () => [[[[]]]],
    () => "x".repeat(random.pick([63, 64, 65, 128, 129, 5_000])),
    () => String.fromCharCode(random.whole(0, 0xffff)),
    () => `${random.whole(0, 2 ** 40)}`,
    () => ({ clicks: [] }),
    () => new Date(random.whole(0, 4e12)).toISOString(),
  ])();
}

const FIELDS = ["click_id", "ad_id", "timestamp", "user_id", "sent_at", "clicks", "__proto__", "x"];

/** One of the objects in it, or null where it is none any more. */
function someObject(value: unknown, random: Random): Record<string, unknown> | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const fields = value as Record<string, unknown>;
  const clicks = fields["clicks"];
  if (!Array.isArray(clicks) || clicks.length === 0 || random.chance(0.2)) return fields;
  const click: unknown = random.pick(clicks);
  return typeof click === "object" && click !== null && !Array.isArray(click)
    ? (click as Record<string, unknown>)
    : fields;
}

const VALUE_CHANGES: Readonly<Record<string, Change<unknown>>> = {
  "another value"(value, random) {
    const target = someObject(value, random);
    if (target === null) return anything(random);
    define(target, random.pick(FIELDS), anything(random));
    return value;
  },
  "a field less"(value, random) {
    const target = someObject(value, random);
    if (target !== null) delete target[random.pick(FIELDS)];
    return value;
  },
  "another element"(value, random) {
    const clicks = (value as { clicks?: unknown } | null)?.clicks;
    if (!Array.isArray(clicks)) return [value];
    clicks.splice(random.whole(0, clicks.length), random.whole(0, 1), anything(random));
    return value;
  },
  "an element twice"(value, random) {
    const clicks = (value as { clicks?: unknown } | null)?.clicks;
    if (!Array.isArray(clicks) || clicks.length === 0) return value;
    clicks.push(random.pick(clicks));
    return value;
  },
  "another time"(value, random) {
    const target = someObject(value, random);
    if (target === null) return value;
    const times = [0, -1, 1e9, 1.7e9, 1.7e12, 1.7e15, 4.2e12, 1e300, 0.5, 2 ** 53];
    define(target, random.pick(["timestamp", "sent_at"]), random.pick(times));
    return value;
  },
};

/** As a field of its own, `__proto__` too: what JSON.parse would make. */
function define(target: object, name: string, value: unknown): void {
  Object.defineProperty(target, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });
}

const NUMBERS = ["1e999", "-1e999", "-0", "00", "0x10", "NaN", "Infinity", ".5", "1.", "+1"];
const TOKENS = ["{", "}", "[", "]", ",", ":", '"', "\\", "null", "\n", "\0", "\u2028", "//", "'"];

const TEXT_CHANGES: Readonly<Record<string, Change<string>>> = {
  "cut off": (text, random) => text.slice(0, random.whole(0, text.length)),
  "without its start": (text, random) => text.slice(random.whole(0, text.length)),
  "a token more"(text, random) {
    const at = random.whole(0, text.length);
    return text.slice(0, at) + random.pick(TOKENS) + text.slice(at);
  },
  "a piece twice"(text, random) {
    const from = random.whole(0, text.length);
    const to = Math.min(text.length, from + random.whole(1, 200));
    return text.slice(0, to) + text.slice(from);
  },
  "another number": (text, random) =>
    text.replace(/\d+/, () => random.pick([...NUMBERS, "9".repeat(random.whole(1, 400))])),
  "deep nesting"(text, random) {
    const depth = random.whole(1, random.pick([10, 1_000, NESTING_MAX]));
    const [open, close] = random.pick([
      ["[", "]"],
      [`{"clicks":`, "}"],
      [`{"click_id":`, "}"],
    ]);
    const nested = open.repeat(depth) + "1" + close.repeat(random.chance(0.8) ? depth : 0);
    return random.chance(0.5) ? nested : text.replace(/:\s*("[^"]*"|\d+)/, () => `:${nested}`);
  },
  "a key twice": (text) => text.replace("{", `{"clicks":[{"click_id":1}],"ad_id":null,`),
  "space around": (text, random) =>
    random.pick([" ", "\t\r\n"]).repeat(random.whole(1, 50)) + text + "\n",
  "escapes for letters": (text) =>
    text.replaceAll("c", "\\u0063").replaceAll("ad", "\\u0061\\u0064"),
  "two documents": (text) => text + text,
  "too long": (text, random) =>
    text.padEnd(random.chance(0.1) ? BODY_BYTES_MAX + random.whole(-1, 1) : text.length, " "),
};

/** Mostly UTF-8, as it has to be. */
function encode(text: string, random: Random, changes: string[]): Uint8Array<ArrayBuffer> {
  if (random.chance(0.92)) return bytesOf(text, "utf8");
  const encoding = random.pick(["utf16le", "latin1", "mark"] as const);
  changes.push(`as ${encoding}`);
  return encoding === "mark" ? bytesOf(`\ufeff${text}`, "utf8") : bytesOf(text, encoding);
}

function bytesOf(text: string, encoding: BufferEncoding): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, encoding));
}

type ByteChange = Change<Uint8Array<ArrayBuffer>>;

const flip: ByteChange = (bytes, random) => {
  if (bytes.length === 0) return bytes;
  const changed = bytes.slice();
  for (let i = random.whole(1, 8); i > 0; i--) {
    changed[random.whole(0, bytes.length - 1)]! ^= 1 << random.whole(0, 7);
  }
  return changed;
};
const cut: ByteChange = (bytes, random) => bytes.slice(0, random.whole(0, bytes.length));

const BYTE_CHANGES: Readonly<Record<string, ByteChange>> = {
  "bits flipped": flip,
  "bytes cut off": cut,
  "bytes of chance"(bytes, random) {
    const at = random.whole(0, bytes.length);
    const more = Uint8Array.from({ length: random.whole(1, 50) }, () => random.whole(0, 255));
    return Uint8Array.from(Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]));
  },
  "nothing but chance": (_, random) =>
    Uint8Array.from({ length: random.whole(0, 500) }, () => random.whole(0, 255)),
};

/** Zeros: a factor of a thousand. Made once, because it takes longer than a hundred other bodies. */
const BOMB = gzip(new Uint8Array(20 * BODY_BYTES_MAX));

const GZIP_CHANGES: Readonly<Record<string, ByteChange>> = {
  gzip: (bytes) => gzip(bytes),
  "gzip with bits flipped": (bytes, random) => flip(gzip(bytes), random),
  "gzip cut off": (bytes, random) => cut(gzip(bytes), random),
  "gzip twice": (bytes) => gzip(gzip(bytes)),
  "two members": (bytes) => Uint8Array.from(Buffer.concat([gzip(bytes), gzip(bytes)])),
  "bytes after gzip": (bytes) => Uint8Array.from(Buffer.concat([gzip(bytes), Buffer.from("x")])),
  "no gzip": (bytes) => bytes,
  "a bomb": (bytes, random) => (random.chance(0.05) ? BOMB : gzip(bytes)),
};

function gzip(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(gzipSync(bytes, { level: 1 }));
}

type Headers = Readonly<Record<string, string>>;

const HEADER_CHANGES: Readonly<Record<string, Change<Headers>>> = {
  "another type": (_, random) => ({
    "content-type": random.pick([
      "text/html",
      ";",
      "text/plain",
      "multipart/form-data; boundary=x",
      "x".repeat(3_000),
      "application/json; charset=utf-16",
    ]),
  }),
  "another encoding": (_, random) => ({
    "content-encoding": random.pick(["br", "deflate", "gzip, gzip", "identity", "GZIP", "zstd"]),
  }),
  "another sender": (_, random) => ({
    "user-agent": random.pick(["", "x".repeat(5_000), "curl/8", "\u00ff\u00fe"]),
    "x-clickmill-country": random.pick(["KR", "kr", "XXX", "\u00e4\u00e4"]),
    "x-clickmill-ip": random.pick(["::1", "9".repeat(100), "not an ip"]),
  }),
};
