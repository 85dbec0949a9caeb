/** The Worker: answers to requests, and the class of the objects behind them. */
import { respond } from "./app.ts";

export { ClickShard } from "./shard/shard.ts";
export default { fetch: respond };
