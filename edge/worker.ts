/** The Worker: routes for clicks, and the class of the objects behind them. */
import { app } from "./app.ts";

export { ClickShard } from "./shard/shard.ts";
export default { fetch: app.fetch };
