/**
 * Rotary positions as config.json describes them, read as transformers 5 reads it: `rope_scaling` replaces
 * `rope_parameters`, `rope_theta` within either outranks the one beside it (modeling_rope_utils.py,
 * RotaryEmbeddingConfigMixin). What is ambiguous there is refused.
 */
import { z } from "npm:zod@4.6.7";
import type { Architecture } from "./architecture.ts";
import { type JsonFile, refusal } from "./config_file.ts";
import type { Rope, RopeScaling } from "./rope.ts";

const types = ["default", "linear", "dynamic", "yarn", "longrope", "llama3"] as const;
const typeRule = `one of ${types.map((type) => `"${type}"`).join(", ")}, ` +
  "because rotary positions scaled otherwise are not supported";
const positive = z.number("a positive number").positive("a positive number");
const count = z.int("a positive integer").positive("a positive integer");
const ropeType = z.enum(types, typeRule).nullish();
const factors = z.array(positive, "a list of positive numbers").nullish();
const nothing = (what: string) => z.null(`absent, because ${what}`).nullish();

// Every key that transformers reads, and what some files have besides; anything else is refused.
const ropeFields = {
  rope_theta: positive.nullish(),
  rope_type: ropeType,
  // The older spelling of rope_type.
  type: z.string(typeRule).nullish(),
  factor: positive.nullish(),
  original_max_position_embeddings: count.nullish(),
  low_freq_factor: positive.nullish(),
  high_freq_factor: positive.nullish(),
  attention_factor: positive.nullish(),
  beta_fast: z.number("a number").nullish(),
  beta_slow: z.number("a number").nullish(),
  mscale: z.number("a number").nullish(),
  mscale_all_dim: z.number("a number").nullish(),
  truncate: z.boolean("true or false").nullish(),
  short_factor: factors,
  long_factor: factors,
  partial_rotary_factor: z.literal(1, "1 or absent, because partly rotated heads are not supported")
    .nullish(),
  mrope_section: nothing("rotary positions of several axes are not supported"),
  // Written by YaRN's authors; says how the model was made.
  finetuned: z.unknown().optional(),
};
const ropeSchema = z.looseObject(ropeFields, "an object or null");
type RopeFields = z.infer<typeof ropeSchema>;

/** For the keys of config.json that hold such an object. */
export const rotarySchema = z.looseObject({
  ...ropeFields,
  // Newer files nest one object for each type of layer where they differ.
  full_attention: ropeSchema.nullish(),
  sliding_attention: ropeSchema.nullish(),
}, "an object or null").nullish();
type Rotary = z.infer<typeof rotarySchema>;

/** What of config.json decides about rotary positions. */
export interface RotaryConfig {
  readonly max_position_embeddings: number;
  readonly original_max_position_embeddings?: number | null | undefined;
  readonly rope_theta?: number | null | undefined;
  readonly rope_local_base_freq?: number | null | undefined;
  readonly rope_parameters?: Rotary;
  readonly rope_scaling?: Rotary;
}

/** Where an object stands, for messages, and what it holds. */
interface Placed {
  readonly field: string;
  readonly fields: RopeFields;
}

/**
 * Rotary positions of full and of sliding layers, one and the same object where they do not differ.
 * @throws {InputError} naming the field that is missing, wrong or ambiguous.
 */
export function readRopes(
  file: JsonFile,
  raw: RotaryConfig,
  { modelType, ropeByLayerType }: Architecture,
  headWidth: number,
): { rope: Rope; slidingRope: Rope } {
  const { rope_parameters: parameters, rope_scaling: scaling } = raw;
  const nested = (object: Rotary) =>
    object?.full_attention !== undefined || object?.sliding_attention !== undefined;
  if (nested(scaling) || (nested(parameters) && !ropeByLayerType)) {
    const field = nested(scaling) ? "rope_scaling" : "rope_parameters";
    throw refusal(
      file,
      field,
      file.object[field],
      `without types of layers, because model_type "${modelType}" has none`,
    );
  }
  const read = ({ field, fields }: Placed, theta: number) =>
    readRope(file, field, fields, theta, raw, headWidth);
  if (!ropeByLayerType) {
    const placed: Placed = isFilled(scaling)
      ? { field: "rope_scaling", fields: scaling }
      : { field: "rope_parameters", fields: parameters ?? {} };
    const rope = read(placed, raw.rope_theta ?? 10000);
    if (isFilled(scaling) && isFilled(parameters)) checkReplaced(file, parameters, scaling, rope);
    return { rope, slidingRope: rope };
  }
  if (isFilled(parameters) && !nested(parameters)) {
    const rule =
      `an object of "full_attention" and "sliding_attention", because those differ in model_type "${modelType}"`;
    throw refusal(file, "rope_parameters", file.object.rope_parameters, rule);
  }
  // rope_scaling changes what full layers have; sliding layers keep theirs.
  const full: Placed = {
    field: isFilled(scaling) ? "rope_scaling" : "rope_parameters.full_attention",
    fields: { ...parameters?.full_attention, ...scaling },
  };
  const sliding: Placed = {
    field: "rope_parameters.sliding_attention",
    fields: parameters?.sliding_attention ?? {},
  };
  return {
    rope: read(full, raw.rope_theta ?? 1e6),
    slidingRope: read(sliding, raw.rope_local_base_freq ?? 10000),
  };
}

/** rope_scaling takes the place of rope_parameters; what that had to say and would be lost with it is refused. */
function checkReplaced(file: JsonFile, parameters: RopeFields, scaling: RopeFields, { theta }: Rope) {
  const own = parameters.rope_theta;
  if (own != null && own !== theta) {
    const rule = `${theta} or absent, because "rope_scaling" beside it takes the place of "rope_parameters"`;
    throw refusal(file, "rope_parameters.rope_theta", own, rule);
  }
  const type = parameters.rope_type ?? parameters.type;
  const other = scaling.rope_type ?? scaling.type ?? "default";
  if (type != null && type !== other) {
    const rule =
      `"${other}" or absent, because "rope_scaling" beside it takes the place of "rope_parameters"`;
    throw refusal(file, "rope_parameters.rope_type", type, rule);
  }
}

function isFilled(object: Rotary): object is NonNullable<Rotary> {
  return object != null && Object.keys(object).length > 0;
}

function readRope(
  file: JsonFile,
  field: string,
  raw: RopeFields,
  otherTheta: number,
  config: RotaryConfig,
  headWidth: number,
): Rope {
  for (const [key, value] of Object.entries(raw)) {
    if (Object.hasOwn(ropeFields, key) || value === null || value === false) continue;
    const rule = "absent, because it is not known here and may change what the model computes";
    throw refusal(file, `${field}.${key}`, value, rule);
  }
  const theta = raw.rope_theta ?? otherTheta;
  const type = raw.rope_type ?? ropeType.safeParse(raw.type).data;
  if (type === undefined && raw.type != null) throw refusal(file, `${field}.type`, raw.type, typeRule);
  const need = <K extends keyof RopeFields>(key: K): NonNullable<RopeFields[K]> => {
    const value = raw[key];
    if (value != null) return value;
    const list = key.endsWith("_factor") && (key === "short_factor" || key === "long_factor");
    const rule = `a ${list ? "list of positive numbers" : "positive number"}, because rope_type is "${type}"`;
    throw refusal(file, `${field}.${key}`, value, rule);
  };
  // Beside the object it outranks the one within.
  const originalPositions = config.original_max_position_embeddings ?? raw.original_max_position_embeddings ??
    config.max_position_embeddings;
  const scaling = (): RopeScaling & Pick<Rope, "attentionFactor" | "longestSequence"> => {
    switch (type ?? "default") {
      case "default":
        if (raw.factor != null && raw.factor !== 1) {
          if (type === undefined) throw refusal(file, `${field}.rope_type`, undefined, typeRule);
          throw refusal(file, `${field}.factor`, raw.factor, '1 or absent, because rope_type is "default"');
        }
        return { type: "default" };
      case "linear":
        return { type: "linear", factor: need("factor") };
      case "dynamic":
        need("factor");
        // Up to here it is the default; beyond, all positions change with every token.
        return { type: "default", longestSequence: config.max_position_embeddings };
      case "llama3":
        return {
          type: "llama3",
          factor: need("factor"),
          lowFrequencyFactor: need("low_freq_factor"),
          highFrequencyFactor: need("high_freq_factor"),
          originalPositions,
        };
      case "yarn": {
        // null stands for the ratio, as in DeepSeek's files; a key left out is a mistake.
        const factor = raw.factor === null
          ? config.max_position_embeddings / originalPositions
          : need("factor");
        return {
          type: "yarn",
          factor,
          originalPositions,
          fastTurns: raw.beta_fast || 32,
          slowTurns: raw.beta_slow || 1,
          wholePairs: raw.truncate ?? true,
          attentionFactor: raw.attention_factor ?? yarnAttentionFactor(factor, raw),
        };
      }
      case "longrope": {
        const short = need("short_factor");
        need("long_factor");
        if (short.length !== headWidth / 2) {
          const rule = `a list of ${headWidth / 2} numbers, one for each pair of a head's channels`;
          throw refusal(file, `${field}.short_factor`, short, rule);
        }
        const factor = raw.factor ?? config.max_position_embeddings / originalPositions;
        return {
          type: "longrope",
          factors: short,
          attentionFactor: raw.attention_factor ??
            (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalPositions))),
          // Beyond, all positions turn by long_factor, those of earlier tokens too.
          longestSequence: originalPositions,
        };
      }
    }
  };
  const { attentionFactor = 1, longestSequence, ...own } = scaling();
  return {
    theta,
    scaling: own,
    ...(attentionFactor !== 1 && { attentionFactor }),
    ...(longestSequence !== undefined && { longestSequence }),
  };
}

/** YaRN's 0.1 ln(factor) + 1, or the ratio of two such where `mscale` and `mscale_all_dim` are given. */
function yarnAttentionFactor(factor: number, { mscale, mscale_all_dim: whole }: RopeFields): number {
  const scaled = (by: number) => factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1;
  return mscale && whole ? scaled(mscale) / scaled(whole) : scaled(1);
}
