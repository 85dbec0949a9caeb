/**
 * One round of the embedded ClickHouse, in a process of its own; prints the outcome as JSON.
 *
 *     node tests/bench/contend-clickhouse.ts ROWS.bin ROWS.index DIRECTORY
 *
 * What is chosen in its favour, each measured: all strings are String (LowCardinality columns took twice
 * as long), and the file, which is in the page cache, is mapped instead of read. As for all contenders, the
 * last pass is the one that is compared.
 */
import { Session } from "chdb";
import type { CaseFiles } from "./cases.ts";
import { clocked, PASSES } from "./group-by.ts";
import type { RoundOutcome } from "./round.ts";
import type { Tally } from "./tally.ts";

const STRUCTURE =
  "window_start UInt32, ad_id String, country String, device String, invalid_reason String, clicks UInt32";
const KEY = "window_start, ad_id, country, device, invalid_reason";
const SETTINGS =
  "max_threads = 1, max_parsing_threads = 1, storage_file_read_method = 'mmap', use_query_cache = 0";

const [rowsFile, indexFile, directory] = process.argv.slice(2);
if (rowsFile === undefined || indexFile === undefined || directory === undefined) {
  throw new Error("which case, and where?");
}
const session = new Session(directory);
console.log(JSON.stringify(contend({ rowsFile, indexFile })));
session.close();

function contend(files: CaseFiles): RoundOutcome {
  const file = `'${files.rowsFile.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
  const groupBy = `SELECT ${KEY}, sum(clicks) AS total FROM file(${file}, RowBinary, '${STRUCTURE}') GROUP BY ${KEY}`;
  const timed = `${groupBy} SETTINGS ${SETTINGS} FORMAT Null`;
  const first = clocked(() => session.query(timed));
  for (let pass = 2; pass < PASSES; pass++) session.query(timed);
  const startCpu = process.cpuUsage();
  const { seconds } = clocked(() => session.query(timed));
  const { user, system } = process.cpuUsage(startCpu);
  // A count of the rows that the very same sub-query gives, and tally.ts's line in SQL.
  const line = String.raw`concat(ad_id, '\n', country, '\n', device, '\n', invalid_reason, '\n', toString(window_start), '\n', toString(total))`;
  const tally = session.query(
    `SELECT count(), sum(total), sum(toUInt64(CRC32(${line}))) FROM (${groupBy}) SETTINGS ${SETTINGS}`,
    "TSV",
  );
  const cpuShare = (user + system) / 1e6 / seconds;
  return { firstSeconds: first.seconds, seconds, tally: readTally(tally), cpuShare };
}

function readTally(text: string): Tally {
  const [keys, clicks, checksum] = text.trim().split("\t");
  if (checksum === undefined) throw new Error(`the engine says ${text}`);
  return { keys: Number(keys), clicks: Number(clicks), checksum };
}
