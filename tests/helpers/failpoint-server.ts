/** Where workerd reports that it stands at a failpoint (FAILPOINT_URL); never answers. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface FailpointServer {
  readonly url: string;
  close(): void;
}

export async function startFailpointServer(onReached: () => void): Promise<FailpointServer> {
  const server = createServer(() => onReached());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
