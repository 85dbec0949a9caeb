/** Values of flags, as commander's argument parsers. */
import { InvalidArgumentError } from "commander";

/** A whole number, both ends included. */
export function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}
