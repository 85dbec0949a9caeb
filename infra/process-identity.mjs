// @ts-check
/**
 * Which process a file was written by. Plain JavaScript without dependencies, because set-up runs it on
 * Node 20 with nothing installed; the stack's pid file uses it too.
 */
import { readFileSync } from "node:fs";

/**
 * The pid, and on Linux its start time too: pids are used again, in containers soon.
 *
 * @param {number} pid
 * @returns {string} one line
 */
export function processIdentity(pid) {
  const startTime = procStat(pid)?.[19];
  return startTime === undefined ? `${pid}\n` : `${pid} ${startTime}\n`;
}

/**
 * @param {string} identity as processIdentity gave it, perhaps in another process
 * @returns {number | undefined} its pid, if that very process is still alive
 */
export function livingProcess(identity) {
  const pid = Number.parseInt(identity, 10);
  return Number.isInteger(pid) && isAlive(pid) && processIdentity(pid) === identity
    ? pid
    : undefined;
}

/** @param {number} pid */
function isAlive(pid) {
  // A zombie still takes signals; containers without an init keep them.
  if (procStat(pid)?.[0] === "Z") return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/**
 * The fields of /proc/<pid>/stat from the state on: [0] is the state, [11] and [12] are CPU time, [19] the start time.
 *
 * @param {number} pid
 * @returns {string[] | undefined} undefined for a process that is gone, and where there is no /proc
 */
export function procStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The program's name, in parentheses, may hold spaces and parentheses itself.
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}
