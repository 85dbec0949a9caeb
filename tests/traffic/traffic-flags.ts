/** The flags that every command which makes traffic has. */
import { InvalidArgumentError } from "commander";
import type { Command } from "commander";
import type { TrafficSettings } from "./plan.ts";

export interface TrafficFlags {
  readonly rate: number;
  readonly seconds: number;
  readonly ads: number;
  readonly seed?: number;
}

export function withTrafficFlags(command: Command, defaults: Omit<TrafficFlags, "seed">): Command {
  return command
    .option("--rate <clicks>", "new clicks a second", whole, defaults.rate)
    .option("--seconds <seconds>", "how long", whole, defaults.seconds)
    .option("--ads <count>", "different ads, clicked by Zipf's law", whole, defaults.ads)
    .option(
      "--seed <number>",
      "what is sent follows from it (default: another one each time)",
      whole,
    );
}

/** @param name part of the click ids: two runs against one edge need two; by default the seed's. */
export function trafficSettings(flags: TrafficFlags, name?: string): TrafficSettings {
  const seed = flags.seed ?? Date.now() % 1_000_000;
  const { rate, seconds, ads } = flags;
  return { rate, seconds, ads, seed, name: name ?? seed.toString(36) };
}

export function whole(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > Number.MAX_SAFE_INTEGER) {
    throw new InvalidArgumentError("a whole number above 0.");
  }
  return value;
}
