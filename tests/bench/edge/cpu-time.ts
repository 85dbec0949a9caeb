/** CPU time of another process, user's and system's, all threads. */
import { procStat } from "../../../infra/process-identity.mjs";

/** The clock of /proc: 100 ticks a second on every Linux. */
const TICK_MS = 10;
/** Places of utime and stime, the state being the first. */
const UTIME = 11;
const STIME = 12;

/** Null where there is no /proc. @throws Error for a process that is gone */
export function cpuMs(pid: number): number | null {
  if (procStat(process.pid) === undefined) return null;
  const stat = procStat(pid);
  if (stat === undefined) throw new Error(`process ${pid} is gone`);
  return (Number(stat[UTIME]) + Number(stat[STIME])) * TICK_MS;
}
