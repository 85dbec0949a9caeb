/** How NATS_URL becomes the client's options. */
import type { ConnectionOptions } from "@nats-io/nats-core";

export type NatsOptions = Pick<ConnectionOptions, "servers" | "tls" | "user" | "pass" | "token">;

/**
 * The client reads host and port of a URL and drops who stands before them without a word: user and password
 * (or a token: a user without a password), percent-decoded, have options of their own.
 *
 * @param url as the configuration has checked it; never shown, and neither is what comes back
 */
export function natsOptions(url: string): NatsOptions {
  const { protocol, username, password, host } = new URL(url);
  // It drops the scheme as well: this refuses a server that would take the password in clear text.
  const tls = protocol === "tls:" ? { tls: {} } : {};
  const place = { servers: `${protocol}//${host}`, ...tls };
  if (username === "" && password === "") return place;
  const user = decodeURIComponent(username);
  return password === ""
    ? { ...place, token: user }
    : { ...place, user, pass: decodeURIComponent(password) };
}
