/** Every message of the edge as it is published, repeats that JetStream drops included. */
import { connect } from "@nats-io/transport-node";
import type { Msg } from "@nats-io/transport-node";

const ID_HEADER = "Nats-Msg-Id";

export interface PublishWatch {
  /** Bytes by message id, in the order of publishing. */
  readonly published: ReadonlyMap<string, readonly Buffer[]>;
  close(): Promise<void>;
}

export async function watchPublishes(natsUrl: string): Promise<PublishWatch> {
  const published = new Map<string, Buffer[]>();
  const nc = await connect({ servers: natsUrl });
  nc.subscribe("clicks.>", {
    callback: (_: Error | null, m: Msg) => {
      const id = m.headers?.get(ID_HEADER) ?? "";
      if (id !== "") published.set(id, [...(published.get(id) ?? []), Buffer.from(m.data)]);
    },
  });
  await nc.flush();
  return { published, close: () => nc.close() };
}
