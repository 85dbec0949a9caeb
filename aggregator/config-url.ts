/** What a URL among the settings has to be, for the aggregator and the tools alike. */

export interface UrlKind {
  readonly schemes: readonly string[];
  /** fetch refuses a URL with a password, and repeats the password in its message; the clients of ClickHouse and NATS get one. */
  readonly mayHoldUser: boolean;
}
export const HTTP: UrlKind = { schemes: ["http:", "https:"], mayHoldUser: false };
export const CLICKHOUSE: UrlKind = { schemes: ["http:", "https:"], mayHoldUser: true };
export const NATS: UrlKind = { schemes: ["nats:", "tls:"], mayHoldUser: true };

/** What is wrong with a URL, or null. Of the URL itself the message has scheme and host at most: the rest may hold a password. */
export function urlProblem(text: string, name: string, kind: UrlKind): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !kind.schemes.includes(url.protocol) || url.hostname === "") {
    const shown = schemeAndHost(text);
    const not = shown === null ? "" : `, not ${shown}`;
    return `${name} must be ${kind.schemes.map((scheme) => `${scheme}//…`).join(" or ")}${not}`;
  }
  if ((url.username !== "" || url.password !== "") && !kind.mayHoldUser)
    return `${name} must not hold a user or a password`;
  if (url.search !== "" || url.hash !== "") {
    const instead = kind.mayHoldUser
      ? `; user and password go before the host: ${url.protocol}//user:password@host`
      : "";
    return `${name} must not hold a query string${instead}`;
  }
  if (!isDecodable(url.username) || !isDecodable(url.password))
    return `${name} must hold user and password percent-encoded (% is %25)`;
  return null;
}

/** Null where a password may stand in front of the host, or where it cannot be told what the host is. */
function schemeAndHost(text: string): string | null {
  if (text.includes("@")) return null;
  return (
    /^(?:[a-z][a-z\d+.-]*:\/\/)?(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?(?=[/?#]|$)/i.exec(text)?.[0] ??
    null
  );
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** A URL as it may be shown: without user and password. */
export function shownUrl(text: string): string {
  const url = new URL(text);
  return `${url.protocol}//${url.host}${url.pathname === "/" ? "" : url.pathname}`;
}
