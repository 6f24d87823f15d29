/** Names for the pieces of an instance. */
import { shuffled } from "../../random.ts";

const alphabet = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ"];

/** Different capital letters in random order. */
export function letters(count: number, random: () => number): string[] {
  return shuffled(alphabet, random).slice(0, count);
}

/** Different numbers from 1 to `most` in random order. */
export function numbers(count: number, most: number, random: () => number): number[] {
  return shuffled(Array.from({ length: most }, (_, i) => i + 1), random).slice(0, count);
}
