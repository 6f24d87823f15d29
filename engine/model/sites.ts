/** Named places in the forward pass where activations are captured or patched. */
import { InputError } from "../errors.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { ModelConfig } from "./architecture.ts";

/**
 * What a site is, with the shape of one token's value there:
 *   residual_before, residual_after   the residual stream around a layer [D]
 *   q, k, v                           projection outputs before norm and rotation [H·C], [K·C], [K·C]
 *   attention_output                  per head, before o_proj [H·C]
 *   mlp_neurons                       input of down_proj [F]
 */
export const siteKinds = [
  "residual_before",
  "residual_after",
  "q",
  "k",
  "v",
  "attention_output",
  "mlp_neurons",
] as const;

/** See siteKinds. */
export type SiteKind = typeof siteKinds[number];

/** A site's name: `layers.3.mlp_neurons`. */
export type SiteName = `layers.${number}.${SiteKind}`;

/** Parsed form of a site name. */
export interface Site {
  readonly layer: number;
  readonly kind: SiteKind;
}

/** Parses a site name; throws InputError for an unknown kind or a layer the model does not have. */
export function parseSite(name: string, config: ModelConfig): Site {
  const match = name.match(/^layers\.(\d+)\.(\w+)$/);
  const kind = siteKinds.find((kind) => kind === match?.[2]);
  const layer = Number(match?.[1]);
  if (!kind) {
    throw new InputError(`Unknown site "${name}"; use layers.<number>.<${siteKinds.join("|")}>.`);
  }
  if (layer >= config.layers) {
    throw new InputError(
      `Site "${name}" names layer ${layer}, but the model has layers 0 to ${config.layers - 1}.`,
    );
  }
  return { layer, kind };
}

/** Number of channels a site has per token. */
export function siteWidth(kind: SiteKind, config: ModelConfig): number {
  const { queryHeads: H, keyValueHeads: K, headWidth: C, mlpWidth: F, hiddenSize: D } = config;
  return {
    residual_before: D,
    residual_after: D,
    q: H * C,
    k: K * C,
    v: K * C,
    attention_output: H * C,
    mlp_neurons: F,
  }[
    kind
  ];
}

/** A copy between a site and a buffer during a forward pass. */
export interface Tap {
  readonly site: Site;
  /** `capture` copies from the site to the buffer, `patch` from the buffer to the site. */
  readonly action: "capture" | "patch";
  /** u32 [count, 2] of (from row, to row). */
  readonly index: Tensor;
  /** [rows, width of the site] */
  readonly buffer: Tensor;
}
