/**
 * Whether a request may ask: one user, named in one of the ways of ClickHouse's HTTP interface. Codes,
 * statuses and words are those of a server (src/Server/HTTP/authenticateUserByHTTP.cpp).
 */
import { refusal } from "./engine-error.ts";
import type { QueryFailure } from "./engine-error.ts";
import { isSameText } from "./same-text.ts";

export interface User {
  readonly name: string;
  readonly password: string;
}

/** What a server has before anyone configures it; also who a request is that names nobody. */
export const DEFAULT_USER: User = { name: "default", password: "" };

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Why the request is not that user's, or null when it is. */
export function refuseUser(
  headers: Headers,
  searchParams: URLSearchParams,
  user: User,
): QueryFailure | null {
  const claim = claimedUser(headers, searchParams);
  if (typeof claim === "string") return refusal(516, "AUTHENTICATION_FAILED", 403, claim);
  // Both are compared in full, whatever the first says: the time must not tell a name from a password.
  const isName = isSameText(claim.name, user.name);
  const isPassword = isSameText(claim.password, user.password);
  if (isName && isPassword) return null;
  const why = `${claim.name}: Authentication failed: password is incorrect, or there is no user with such name`;
  // Only for this user a server asks a browser to ask: it is who somebody is that named nobody.
  return claim.name === DEFAULT_USER.name
    ? refusal(194, "REQUIRED_PASSWORD", 401, why)
    : refusal(516, "AUTHENTICATION_FAILED", 403, why);
}

/** Name and password in the one way that is used, or what is wrong with them. */
function claimedUser(headers: Headers, searchParams: URLSearchParams): User | string {
  const name = headerText(headers["x-clickhouse-user"]);
  const password = headerText(headers["x-clickhouse-key"]);
  const authorization = headers["authorization"];
  const ways = [
    ...(name !== "" || password !== "" ? ["X-ClickHouse HTTP headers"] : []),
    ...(authorization !== undefined ? ["Authorization HTTP header"] : []),
    ...(searchParams.has("user") || searchParams.has("password")
      ? ["authentication via parameters"]
      : []),
  ];
  if (ways.length > 1) {
    return `Invalid authentication: it is not allowed to use ${ways[0]} and ${ways[1]} simultaneously`;
  }
  const claim =
    authorization !== undefined
      ? basicUser(String(authorization))
      : ways[0] === "X-ClickHouse HTTP headers"
        ? { name, password }
        : {
            name: searchParams.get("user") ?? DEFAULT_USER.name,
            password: searchParams.get("password") ?? DEFAULT_USER.password,
          };
  if (typeof claim === "string" || claim.name !== "") return claim;
  return `Got an empty user name from ${ways[0]}`;
}

/** Node reads each byte of a header as one character; clients send UTF-8. */
function headerText(value: string | string[] | undefined): string {
  return Buffer.from(String(value ?? ""), "latin1").toString("utf8");
}

function basicUser(authorization: string): User | string {
  const [scheme = "", encoded = ""] = authorization.split(/ +/);
  if (scheme.toLowerCase() !== "basic") {
    return `Invalid authentication: '${scheme}' HTTP Authorization scheme is not supported`;
  }
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.includes(":") ? text.indexOf(":") : text.length;
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}
