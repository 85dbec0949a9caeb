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
  return FAILURES.some((kind) => error instanceof kind);
}
