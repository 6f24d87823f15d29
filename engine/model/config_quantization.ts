/** Quantized checkpoints, which config.json tells of in several ways, and tensors' names in more. */
import { InputError } from "../errors.ts";
import type { JsonFile } from "./config_file.ts";

/** Keys of config.json that say that weights are quantized: of transformers, of compressed-tensors before it, of MLX. */
export const quantizationKeys = ["quantization_config", "compression_config", "quantization"] as const;

/** Names of methods as their authors write them, by `quant_method`. */
const methods: Readonly<Record<string, string>> = {
  gptq: "GPTQ",
  awq: "AWQ",
  bitsandbytes: "bitsandbytes",
  fp8: "FP8",
  fbgemm_fp8: "FBGEMM FP8",
  "compressed-tensors": "compressed-tensors",
  mxfp4: "MXFP4",
  aqlm: "AQLM",
  hqq: "HQQ",
  quanto: "Quanto",
  torchao: "torchao",
  bitnet: "BitNet",
  vptq: "VPTQ",
  higgs: "HIGGS",
  "auto-round": "AutoRound",
  modelopt: "ModelOpt",
};

/**
 * Refuses a config.json by which the weights are quantized.
 * @throws {InputError} that names the method.
 */
export function checkQuantization({ path, object }: JsonFile) {
  for (const key of quantizationKeys) {
    const value = object[key];
    if (value === null || value === undefined) continue;
    throw new InputError(
      `File "${path}" says by "${key}" that the weights are quantized (${
        methodOf(value, key)
      }), and only weights in ` +
        "F32, F16 and BF16 are computed with; use the model that was quantized, or a copy with dequantized weights.",
    );
  }
}

function methodOf(value: unknown, key: string): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = value as Record<string, unknown>;
  const bits = fields.load_in_4bit === true
    ? 4
    : fields.load_in_8bit === true
    ? 8
    : fields.bits ?? fields.w_bit ?? fields.weight_bits;
  const named = fields.quant_method ?? (fields.load_in_4bit !== undefined ? "bitsandbytes" : undefined);
  const method = typeof named === "string"
    ? methods[named] ?? named
    : key === "quantization"
    ? "as MLX does"
    : "by a method it does not name";
  return typeof bits === "number" ? `${method}, ${bits} bits` : method;
}

/** Last parts of names that only tensors of quantized weights have. */
const packedName =
  /\.(qweight|qzeros|g_idx|weight_packed|weight_scale|weight_scale_inv|weight_zero_point|weight_shape|absmax|quant_map|nested_absmax|weight\.(absmax|quant_map|nested_absmax|quant_state\..*)|scales|input_scale|SCB|W_q|codebooks|blocks)$/;

/** The first of these tensors that belongs to quantized weights, by its name. */
export function packedTensor(names: Iterable<string>): string | undefined {
  for (const name of names) if (packedName.test(name)) return name;
}
