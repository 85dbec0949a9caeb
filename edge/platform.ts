/** What only the platform knows of a sender, through one adapter with two implementations. */
import { IP_BYTES_MAX } from "../wire/limits.ts";
import type { Sender } from "./click/sender.ts";
import type { EdgeConfig } from "./config.ts";

/** What a request has of its own on the platform, as far as it is used here. */
export type Context = Pick<ExecutionContext, "waitUntil">;

export interface Platform {
  sender(request: Request): Sender;
}

/** Cloudflare sets both itself and overwrites what a client claims. */
const cloudflare: Platform = {
  sender(request) {
    const country = (request as Request<unknown, IncomingRequestCfProperties>).cf?.country;
    return tidy(country, request.headers.get("cf-connecting-ip"));
  },
};

/** The local stack has no network of its own: senders say who they are. Never used in production. */
const local: Platform = {
  sender(request) {
    return tidy(
      request.headers.get("x-clickmill-country"),
      request.headers.get("x-clickmill-ip") ?? "127.0.0.1",
    );
  },
};

export function platformOf(config: EdgeConfig): Platform {
  return config.platform === "local" ? local : cloudflare;
}

function tidy(country: unknown, ip: string | null): Sender {
  return {
    country: typeof country === "string" && /^[A-Z0-9]{2}$/.test(country) ? country : "XX",
    ip: ip !== null && ip.length <= IP_BYTES_MAX && /^[0-9a-fA-F.:]+$/.test(ip) ? ip : "",
  };
}
