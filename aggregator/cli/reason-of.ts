/** Why something outside did not work, in one line for a person. */
import { ClickHouseError } from "@clickhouse/client";
import { errors } from "@nats-io/transport-node";
import { networkReason } from "./poster.ts";

export function reasonOf(error: unknown): string {
  if (error instanceof ClickHouseError) {
    return `${error.type ?? `code ${error.code}`}: ${firstLine(error.message)}`;
  }
  // Node tries several addresses of a name and wraps their failures in one without a message.
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  return firstLine(networkReason(error));
}

/** ClickHouse's REQUIRED_PASSWORD and AUTHENTICATION_FAILED. */
const CLICKHOUSE_LOGIN_CODES: readonly string[] = ["194", "516"];

/** Whether it answered, and wants another user or password. */
export function isLoginRefused(error: unknown): boolean {
  if (error instanceof ClickHouseError) return CLICKHOUSE_LOGIN_CODES.includes(error.code);
  return error instanceof errors.AuthorizationError;
}

function firstLine(text: string): string {
  return text.trim().split("\n", 1)[0]!.trim() || "an answer without a reason";
}
