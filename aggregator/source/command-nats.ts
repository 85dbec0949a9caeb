/** A command's connection to NATS: its failures say in words what the person at the terminal can do. */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import type { NatsConnection } from "@nats-io/transport-node";
import type { StreamName } from "../../wire/subjects.ts";
import { shownUrl } from "../config-url.ts";
import { CONNECT_MS_MAX } from "../limits.ts";
import { isNatsFailure } from "./nats-failure.ts";
import { natsOptions } from "./nats-options.ts";

/** Its message is for the person who typed the command. */
export class CommandNatsError extends Error {}

/** @throws CommandNatsError where nothing answers */
export async function connectForCommand(natsUrl: string): Promise<NatsConnection> {
  try {
    return await connect({ ...natsOptions(natsUrl), timeout: CONNECT_MS_MAX, reconnect: false });
  } catch (error) {
    throw new CommandNatsError(
      `no NATS answers at ${shownUrl(natsUrl)} (${messageOf(error)}); \`npm start\` runs one, NATS_URL names another`,
      { cause: error },
    );
  }
}

/**
 * What a stream was asked.
 *
 * @throws CommandNatsError where there is no such stream, or NATS fails
 */
export async function answered<T>(
  natsUrl: string,
  stream: StreamName,
  ask: () => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound) {
      throw new CommandNatsError(
        `there is no stream ${stream} yet; the aggregator makes it when it starts`,
        { cause: error },
      );
    }
    if (!isNatsFailure(error)) throw error;
    throw new CommandNatsError(`NATS at ${shownUrl(natsUrl)}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
