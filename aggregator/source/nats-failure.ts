/** Which failures of NATS are the outside's: a later attempt may succeed. */
import { JetStreamApiError, JetStreamError } from "@nats-io/jetstream";
import { ConnectionError, NoRespondersError, RequestError, TimeoutError } from "@nats-io/nats-core";

const FAILURES = [
  // The broker refused: full, no leader, not ready. A lost fence is told apart before.
  JetStreamApiError,
  JetStreamError,
  ConnectionError,
  NoRespondersError,
  RequestError,
  TimeoutError,
] as const;

export function isNatsFailure(error: unknown): boolean {
  if (FAILURES.some((kind) => error instanceof kind)) return true;
  // The client does not export its class for a stream that nobody answers for (no leader, broker stopping).
  return error instanceof Error && error.name === "JetStreamNotEnabled";
}
