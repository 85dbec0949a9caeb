/** What the command line tools take from the environment: parsed once, with defaults for one machine. */
import { UsageError } from "./usage-error.ts";

export interface CliConfig {
  /** The edge, without path. */
  readonly url: string;
  /** The broker. */
  readonly natsUrl: string;
  /** Where the user stands: npm runs scripts in the package's directory and names the user's in INIT_CWD. */
  readonly directory: string;
}

export function cliConfig(
  env: Readonly<Record<string, string | undefined>> = process.env,
): CliConfig {
  return Object.freeze({
    url: httpUrl(
      env["CLICKMILL_URL"] ?? `http://127.0.0.1:${env["CLICKMILL_PORT_EDGE"] ?? 8787}`,
      "CLICKMILL_URL",
    ),
    natsUrl: natsUrl(env["NATS_URL"] ?? `nats://127.0.0.1:${env["CLICKMILL_PORT_NATS"] ?? 4222}`),
    directory: env["INIT_CWD"] ?? process.cwd(),
  });
}

function natsUrl(text: string): string {
  if (!/^(nats|tls):\/\/./.test(text)) {
    throw new UsageError(`NATS_URL must be nats://… or tls://…, not ${JSON.stringify(text)}`);
  }
  return text;
}

/** Asserts an http(s) URL; `name` is the flag or variable that the message blames. */
export function httpUrl(text: string, name: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw new UsageError(`${name} must be an http:// or https:// URL, not ${JSON.stringify(text)}`);
  }
  return text;
}
