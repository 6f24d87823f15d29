/** What an amplified model may be compared with, by name. */

/**
 * What an amplified model is compared with, each updated alike. `random`: as many of each kind in each layer. `random-parameters`: any
 * of as many parameters. `complement`: like `random`, but outside the circuit. `inverted`: all that is not the circuit. `gradient`: the
 * densest in gradient of as many parameters. `unmasked`: every row that an update may move. `full`: every row of every projection.
 * `lora`: low-rank factors of every projection, by AdamW.
 */
export const controlNames = [
  "random",
  "random-parameters",
  "complement",
  "inverted",
  "gradient",
  "unmasked",
  "full",
  "lora",
] as const;

/** See controlNames. */
export type ControlName = typeof controlNames[number];
