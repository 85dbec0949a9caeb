/**
 * The local stack's nats-server configuration as text.
 *
 * Debian's 2.9.10 reads it, and 2.12 and newer, which refuse fields they do not know: only fields
 * that both have. What production adds is in production.conf.
 */

export interface NatsConfigOptions {
  readonly port: number;
  readonly webSocketPort: number;
  readonly monitorPort: number;
  /** JetStream's files; made when missing. */
  readonly storeDirectory: string;
}

/** Streams may fill this much together; the aggregator gives them at most 80 % of it. */
const STORE_BYTES_MAX = 8 * 1024 ** 3;
/** Streams are on file; this is only for consumers' and memory streams' state. */
const MEMORY_BYTES_MAX = 256 * 1024 ** 2;

/** Everything listens on 127.0.0.1 only: the local stack has no users and no passwords. */
export function renderNatsConfig(options: NatsConfigOptions): string {
  return `# Written by infra/nats/render-nats-config.ts at every start; changes here are lost.
listen: "127.0.0.1:${options.port}"
http: "127.0.0.1:${options.monitorPort}"

jetstream {
  store_dir: ${JSON.stringify(options.storeDirectory)}
  max_file_store: ${STORE_BYTES_MAX}
  max_memory_store: ${MEMORY_BYTES_MAX}
}

# Shards run inside workerd, which has WebSockets and no plain TCP.
websocket {
  listen: "127.0.0.1:${options.webSocketPort}"
  no_tls: true
}
`;
}
