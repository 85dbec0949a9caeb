/** `npm start`: runs the local stack until Ctrl-C and says what to try. */
import { readStackOptions } from "./config.ts";
import { StackError } from "./stack-error.ts";
import { startStack, type Stack } from "./stack.ts";

try {
  const options = readStackOptions("start");
  console.log("starting Clickmill …");
  const stack = await startStack(options);
  console.log(welcome(stack, options.database, options.windowSeconds, options.stateDirectory));
  // From here on Ctrl-C is the normal end.
  process.exitCode = 0;
  const error = await stack.unaskedExit;
  process.exitCode = 1;
  await stack.stop();
  throw error;
} catch (error) {
  if (!(error instanceof StackError)) throw error;
  console.error(error.message);
  process.exit(1);
}

function welcome(
  stack: Stack,
  database: string,
  windowSeconds: number,
  stateDirectory: string,
): string {
  const sum = encodeURIComponent(`SELECT sum(clicks) FROM ${database}.ad_clicks_1m`);
  // `date +%s000`: milliseconds since 1970 on every Unix; %N is GNU's alone.
  return `
  edge         ${stack.urls.edge}
  ClickHouse   ${stack.urls.clickhouse}  (database ${database})
  NATS         ${stack.urls.nats}  (monitoring ${stack.urls.natsMonitor})
  logs         ${stateDirectory}/logs

Post a click:

  curl -sS ${stack.urls.edge}/v1/clicks -H 'content-type: application/json' -d "{\\"sent_at\\":$(date +%s000),\\"clicks\\":[{\\"click_id\\":\\"try-$(date +%s)-$RANDOM\\",\\"ad_id\\":\\"my-ad\\",\\"timestamp\\":$(date +%s000)}]}"

Ask for the count; a click is in it about ${windowSeconds + 10} seconds later, when its window has closed:

  curl -sS '${stack.urls.clickhouse}/?query=${sum}'

Ctrl-C stops it. The state stays; \`npm run reset\` clears it.
`;
}
