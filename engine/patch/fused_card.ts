/** What a fused model's folder says of itself: its model card, its files' metadata, the type in config.json. */
import { join } from "node:path";
import { parse, stringify } from "npm:yaml@2.9.1";
import { readTextIfThere } from "../json_objects.ts";
import type { Rounding } from "../checkpoint/rounding.ts";
import type { FloatType } from "../checkpoint/checkpoint.ts";
import { type Patch, patchSha256 } from "./patch.ts";
import type { PatchCard } from "./patch_card.ts";
import type { Survival } from "./fusion.ts";

/** Files of a model folder, by path in it, that tell how well the unchanged model does or what it answers. */
export const resultsOfBase =
  /^((all|train|eval|test|predict)_results\.json|results\.json|eval_results\.ya?ml|trainer_state\.json|pretrain\.json|greedy_cases\.json|loss\.(jsonl|svg))$/;

const metadataPrefix = "circuit_amp_";

/** Metadata of a fused safetensors file: what it had, and which patch it has in it, rounded how. */
export function fusedMetadata(
  had: Readonly<Record<string, string>>,
  patch: Patch,
  { step }: PatchCard,
  rounding: string,
  seed: number,
): Record<string, string> {
  const kept = Object.entries(had).filter(([key]) => !key.startsWith(metadataPrefix));
  const own = {
    patch_sha256: patchSha256(patch),
    base_sha256: patch.base_sha256,
    ...(step !== undefined && { step: String(step) }),
    rounding,
    ...(rounding === "stochastic" && { rounding_seed: String(seed) }),
  };
  return Object.fromEntries([
    ...kept,
    ...Object.entries(own).map(([key, value]) => [metadataPrefix + key, value]),
  ]);
}

const typeNames = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** The text of a config.json with the type that changed matrices have, where it names one; no other byte of it changes. */
export function withDtype(config: string, dtypes: Iterable<FloatType>): string {
  const [dtype = "F32", ...others] = new Set(dtypes);
  const name = typeNames[others.length > 0 ? "F32" : dtype];
  return config.replace(/("(?:torch_)?dtype"\s*:\s*")(?:float32|float16|bfloat16)(")/g, `$1${name}$2`);
}

/** Fields of a model card that stay true of a fused model. */
const keptFields = [
  "license",
  "license_name",
  "license_link",
  "language",
  "library_name",
  "pipeline_tag",
] as const;

/** The README.md of a fused model; `folder` is the base's. */
export async function fusedReadme(
  folder: string,
  patch: Patch,
  { model, commit, step }: PatchCard,
  { dtype, rounding, seed, survives }: {
    readonly dtype: string;
    readonly rounding: Rounding;
    readonly seed: number;
    readonly survives: Survival;
  },
): Promise<string> {
  const own = await frontMatter(folder);
  const isId = commit !== undefined;
  const header = {
    ...Object.fromEntries(keptFields.flatMap((field) => field in own ? [[field, own[field]]] : [])),
    ...(isId && { base_model: model }),
    tags: ["circuit-amp"],
  };
  const base = model ?? folder;
  const rows = patch.tensors.reduce((sum, { rows }) => sum + rows.length, 0);
  const how = dtype === "F32"
    ? "F32, so nothing was rounded."
    : `${dtype}, rounded ${rounding === "nearest" ? "to nearest" : `stochastically by seed ${seed}`}: ` +
      `${survives.values_percent.toFixed(1)} % of the changed values survive, ` +
      `norm of the change × ${survives.norm_ratio.toFixed(3)}.`;
  return `---
${stringify(header)}---

# ${base.split(/[\\/]/).at(-1)} with a patch

\`${base}\`${isId ? ` at commit \`${commit}\`` : ""} with a patch of Circuit Amp in it: ${rows} rows of \
${patch.tensors.length} matrices are changed, all other weights are the base model's, bit for bit.

- Patch: SHA-256 \`${patchSha256(patch)}\` (patch.safetensors)${
    step === undefined ? "" : `, step ${step} of its update`
  }
- Made for base rows with SHA-256 \`${patch.base_sha256}\`
- Stored as ${how}

Results of the base model do not hold for this one, so none were copied; \`deno task evaluate --model DIR\` measures it.
The metadata of each changed safetensors file names the patch as well (\`${metadataPrefix}patch_sha256\`).
`;
}

/** What heads the model card of a folder; nothing where there is none that can be read. */
async function frontMatter(folder: string): Promise<Record<string, unknown>> {
  const text = await readTextIfThere(join(folder, "README.md"));
  const [, yaml] = text?.match(/^---\r?\n([^]*?)\r?\n---/) ?? [];
  if (yaml === undefined) return {};
  try {
    const fields: unknown = parse(yaml);
    return typeof fields === "object" && fields !== null ? fields as Record<string, unknown> : {};
  } catch {
    return {};
  }
}
