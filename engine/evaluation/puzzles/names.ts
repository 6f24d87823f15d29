/** Names for the pieces of an instance. */
import { z } from "npm:zod@4.6.7";
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

/** A list of different words of letters, digits and _ alone, as moves can name them. */
export function words(count: number): z.ZodType<string[]> {
  return z.array(z.string().regex(/^[\p{L}\p{N}_]+$/u)).length(count)
    .refine((list) => new Set(list).size === list.length, "names something twice");
}
