/** Results as a few readable lines: what commands print, for runs, evaluations, patches, adapters and memory plans. */
import { memoryParts } from "../gpu/tensor.ts";
import { type MemoryPlan, type MemoryStage, memoryStages, type StagePlan } from "../circuit/memory_plan.ts";
import { mebibytes } from "../gpu/sizes.ts";
import type { MatrixSurvival, Survival } from "../patch/fusion.ts";
import type { ModelConfig } from "../model/architecture.ts";
import type { ComponentKind } from "../circuit/components.ts";
import type { Collision } from "../patch/combine.ts";
import type { PatchCard } from "../patch/patch_card.ts";
import type { PatchInfo } from "../patch/patch_info.ts";
import { componentOfRow, type PatchedComponent } from "../patch/patched_components.ts";
import type { FuseReport } from "../patch/patched_checkpoint.ts";
import type { AdapterReport } from "./doctor.ts";
import type { EvaluationReport } from "./evaluation_run.ts";
import type { SweepRow } from "./sweep.ts";
import type { MeanAndInterval, SeedsSummary } from "./seeds.ts";
import type { Summary } from "./records.ts";

const percent = (fraction: number) => `${(100 * fraction).toFixed(1)} %`;
const points = (fraction: number) => `${fraction >= 0 ? "+" : ""}${(100 * fraction).toFixed(1)} points`;

/**
 * The summary in a few lines.
 *
 * @example The text of a finished run
 * ```ts
 * import { describeSummary } from "../../mod.ts";
 *
 * // const summary = await runAmplify(gpu, settings, { out: "runs/mine" });
 * // console.log(describeSummary(summary));
 * console.log(typeof describeSummary);
 * ```
 */
export function describeSummary(summary: Summary): string {
  const { accuracy, components, flips, controls } = summary;
  const lines = [
    `circuit        ${describeComponents(components)}, from ${summary.localization_examples} pivotal tokens`,
  ];
  if (summary.best_step === 0) {
    lines.push(
      `accuracy       ${
        percent(accuracy.base)
      }; no step beat the unchanged model in validation, so there is no patch`,
    );
  } else {
    lines.push(
      `accuracy       ${percent(accuracy.base)} → ${percent(accuracy.amplified)} (${
        points(accuracy.gain)
      }, 95 % interval ` +
        `${points(accuracy.ci95[0])} to ${points(accuracy.ci95[1])})`,
      `answers        ${flips.positive} became right, ${flips.negative} became wrong (McNemar p = ${
        flips.mcnemar_p.toPrecision(2)
      })`,
    );
  }
  if (summary.fused) {
    const { dtype, survives, accuracy } = summary.fused;
    lines.push(`fused          ${percent(accuracy)} as ${dtype}: ${describeSurvival(survives)}`);
  }
  for (const [name, { base, amplified }] of Object.entries(summary.other_abilities)) {
    lines.push(`${name.padEnd(14)} ${percent(base)} → ${percent(amplified)} (${points(amplified - base)})`);
  }
  for (const [name, control] of Object.entries(controls)) {
    lines.push(
      `control        ${name} (${control.components} components, ${
        (100 * control.parameter_share).toPrecision(3)
      } % of the parameters): ${percent(control.amplified)} (${points(control.gain)}; p = ${
        control.p.toPrecision(2)
      } between the two)`,
    );
  }
  lines.push(
    `changed        ${
      summary.changed_parameters_percent.toFixed(2)
    } % of parameters, step ${summary.best_step}`,
  );
  lines.push(...summary.verdict.map((sentence) => `verdict        ${sentence}`));
  return lines.join("\n");
}

/** The result of several seeds in a few lines. */
export function describeSeeds(result: SeedsSummary): string {
  const show = ({ mean, interval }: MeanAndInterval, unit: string) =>
    `${(100 * mean).toFixed(1)} ${unit}` +
    (interval ? ` (${(100 * interval[0]).toFixed(1)} to ${(100 * interval[1]).toFixed(1)})` : "");
  const lines = [
    `seeds          ${result.seeds.join(", ")}; means with 95 % intervals`,
    `accuracy       ${show(result.base, "%")} → ${show(result.amplified, "%")}, gain ${
      show(result.gain, "points")
    }`,
  ];
  for (const [name, { base, amplified }] of Object.entries(result.other_abilities)) {
    lines.push(`${name.padEnd(14)} ${show(base, "%")} → ${show(amplified, "%")}`);
  }
  for (const [name, { amplified, gain, advantage }] of Object.entries(result.controls)) {
    lines.push(
      `control        ${name}: ${show(amplified, "%")}, gain ${show(gain, "points")}; ` +
        `the circuit is ${show(advantage, "points")} ahead of it`,
    );
  }
  lines.push(...result.verdict.map((sentence) => `verdict        ${sentence}`));
  return lines.join("\n");
}

/** A sweep as a table, a line a point; an asterisk marks points that no other dominates. */
export function describeSweep(rows: readonly SweepRow[]): string {
  const width = Math.max(...rows.map(({ folder }) => folder.length), "point".length);
  const line = (cells: readonly string[]) =>
    [cells[0]!.padEnd(width), ...cells.slice(1).map((cell) => cell.padStart(12))].join(" ").trimEnd();
  const points = (value: number) => (100 * value).toFixed(1);
  return [
    line(["point", "gain", "95 % low", "high", "p", "parameters", "abilities", "seconds", ""]),
    ...rows.map((row) =>
      line([
        row.folder,
        points(row.gain),
        points(row.ci95[0]),
        points(row.ci95[1]),
        row.p.toPrecision(2),
        `${(100 * row.parameter_share).toPrecision(3)} %`,
        points(row.abilities),
        row.seconds.toFixed(0),
        row.pareto ? "*" : "",
      ])
    ),
  ].join("\n");
}

/** A selection of components by number, share and kind. */
export function describeComponents({ selected, total, percent, by_kind }: Summary["components"]): string {
  const kinds = Object.entries(by_kind).map(([kind, count]) => `${count} ${kind}`).join(", ");
  return `${selected} of ${total} components (${percent.toFixed(1)} %: ${kinds})`;
}

/** Survival in words. */
export function describeSurvival({ values_percent, norm_ratio, cosine }: Survival): string {
  return `${values_percent.toFixed(1)} % of the changed values survive rounding, ` +
    `norm of the change × ${norm_ratio.toFixed(3)}, cosine ${cosine.toFixed(4)}`;
}

/** Accuracy per template, a line each. */
export function describeTemplates(perTemplate: Readonly<Record<string, number>>): string[] {
  return Object.entries(perTemplate).map(([template, value]) =>
    `template ${template.padEnd(8)} ${percent(value)}`
  );
}

/** An evaluation in a few lines. */
export function describeEvaluation(report: EvaluationReport): string {
  const accuracy = { task: report.accuracy, ...report.other_abilities };
  return [
    ...describeTemplates(report.per_template),
    ...Object.entries(accuracy).map(([name, value]) =>
      `${name.padEnd(17)} ${percent(value)} of ${report.problems[name]}`
    ),
    ...(report.survives ? [`${report.dtype!.padEnd(17)} ${describeSurvival(report.survives)}`] : []),
  ].join("\n");
}

/** A patch: a line for each layer's heads and neurons, the most changed first, and one for each matrix. */
export function describePatch({ matrices, components, values, norm, base_sha256 }: PatchInfo): string {
  const layers = [...Map.groupBy(components ?? [], ({ layer }) => layer)].map(([layer, own]) =>
    `layer ${layer}: ${
      [...Map.groupBy(own, ({ kind }) => kind)].map(([kind, members]) => mostChanged(kind, members)).join(
        ", ",
      )
    }`
  );
  return [
    ...layers,
    ...(components?.length ? ["(norms of the changes in brackets)"] : []),
    ...matrices.map(({ name, rows, norm }) =>
      `${name}: ${rows.length} rows, norm of the change ${norm.toPrecision(3)}`
    ),
    `${values} values in ${matrices.length} matrices, norm of the change ${norm.toPrecision(3)}; ` +
    `made for rows with SHA-256 ${base_sha256}`,
  ].join("\n");
}

/** What a patch's card says of where it is from. */
export function describeCard({ model, commit, step, scale, merged }: PatchCard): string {
  const parts = [
    model === undefined
      ? "no model is named"
      : `made for the model ${model}${commit === undefined ? "" : ` at commit ${commit}`}`,
    ...(step === undefined ? [] : [`step ${step} of its update`]),
    ...(Array.isArray(merged) ? [`the sum of ${merged.length} patches`] : []),
    ...(scale === undefined ? [] : [`times ${scale}`]),
  ];
  return parts.join(", ");
}

/** Components of one kind of a layer with their norms, e.g. "v-head 1 (0.31)" or "neurons 17 (0.2) 203 (0.1) … (14)". */
function mostChanged(kind: ComponentKind, members: readonly PatchedComponent[], most = 12): string {
  const name = `${kind === "mlp" ? "neuron" : `${kind}-head`}${members.length > 1 ? "s" : ""}`;
  const shown = members.toSorted((a, b) => b.norm - a.norm).slice(0, most)
    .map(({ number, norm }) => `${number} (${norm.toPrecision(3)})`).join(" ");
  return `${name} ${shown}${members.length > most ? ` … (${members.length})` : ""}`;
}

/** Where merged patches meet, a line for each matrix, with the heads and neurons that the rows belong to. */
export function describeCollisions(
  collisions: readonly Collision[],
  config: Pick<ModelConfig, "headWidth">,
): string {
  if (collisions.length === 0) return "no row is changed by more than one of them";
  const total = collisions.reduce((sum, { rows }) => sum + rows.length, 0);
  return [
    `${total} rows are changed by more than one of them; their changes are added:`,
    ...collisions.map(({ name, rows }) => {
      const components = new Set(rows.flatMap((row) => {
        const component = componentOfRow(config, name, row);
        return component
          ? [`${component.kind === "mlp" ? "neuron" : `${component.kind}-head`} ${component.number}`]
          : [];
      }));
      const most = 12;
      const shown = [...components].slice(0, most).join(", ");
      const more = components.size > most ? `, … (${components.size})` : "";
      return `${name}: ${rows.length} rows${components.size > 0 ? `, of ${shown}${more}` : ""}`;
    }),
  ].join("\n");
}

/** What fusing left of a patch, a line for each matrix. */
export function describeFusion({ matrices, dtype, rounding, survives }: FuseReport): string {
  const matrix = ({ name, dtype, rows, ...left }: MatrixSurvival) =>
    `${name}: ${rows} rows ${dtype}, ${describeSurvival(left)}`;
  const all = dtype === "F32"
    ? "all: the model is stored in F32, so nothing was rounded to 16 bits"
    : `all (${dtype}, ${rounding}): ${describeSurvival(survives)}`;
  return [...matrices.map(matrix), all].join("\n");
}

/** Vendors by the numbers that Vulkan and PCI know them by (Vulkan registry, `VkVendorId`; PCI ID repository). */
const vendors: Readonly<Record<number, string>> = {
  0x1002: "AMD",
  0x1010: "Imagination",
  0x10005: "Mesa",
  0x106b: "Apple",
  0x10de: "NVIDIA",
  0x13b5: "Arm",
  0x1414: "Microsoft",
  0x1ae0: "Google",
  0x5143: "Qualcomm",
  0x8086: "Intel",
};

/** A vendor's name, where WebGPU gives its number. */
function vendorName(vendor: string): string {
  if (!/^\d+$/.test(vendor)) return vendor || "unknown";
  const name = vendors[Number(vendor)];
  return name ? `${name} (${numberInHex(vendor)})` : numberInHex(vendor);
}

/** Numbers of devices are known in hexadecimal. */
function numberInHex(text: string): string {
  return /^\d+$/.test(text) ? `0x${Number(text).toString(16)}` : text;
}

/** An adapter in a few lines. */
export function describeAdapter(report: AdapterReport): string {
  return [
    `adapter   ${report.adapter}${report.opengl ? ", through OpenGL" : ""}${
      report.software ? ", in software on the CPU" : ""
    }`,
    `driver    ${
      [
        `vendor ${vendorName(report.vendor)}`,
        ...(report.architecture ? [`architecture ${report.architecture}`] : []),
        ...(report.driver ? [`device ${numberInHex(report.driver)}`] : []),
      ].join(", ")
    }`,
    `deno      ${report.deno}`,
    ...Object.entries(report.limits).map(([name, value]) =>
      `limit     ${name} ${value >= 2 ** 20 ? mebibytes(value) : value}`
    ),
    `features  ${report.features.join(", ") || "none"}`,
    `check     a kernel ran and its result came back in ${report.round_trip_ms} ms`,
    ...report.notes.map((note) => `note      ${note}`),
  ].join("\n");
}

/** The memory plan of a model as a table in MiB. */
export function describeMemory(name: string, { stages, ...plan }: MemoryPlan): string {
  const row = (title: string, cells: readonly string[]) =>
    `memory    ${title.padEnd(16)}${cells.map((cell) => cell.padStart(12)).join("")}`;
  const cells = (bytesOf: (stage: StagePlan) => number) =>
    memoryStages.map((stage: MemoryStage) => mebibytes(bytesOf(stages[stage])));
  const w = plan.workload;
  const { label, shape, bytes } = memoryStages.map((stage) => stages[stage].largest)
    .reduce((a, b) => b.bytes > a.bytes ? b : a);
  return [
    `model     ${name}: ${(plan.parameters / 1e6).toFixed(1)} M parameters, context ${plan.contextLength}`,
    `memory    for prompts of ${w.promptTokens} tokens (${w.sharedTokens} shared) and ${w.newTokens} new ones, ` +
    `${w.examples} examples, mask batch ${w.maskBatch}, ${(100 * w.selected).toPrecision(3)} % of components`,
    row("", memoryStages),
    ...memoryParts.filter((part) => memoryStages.some((stage) => stages[stage].parts[part] > 0))
      .map((part) => row(part, cells(({ parts }) => parts[part]))),
    row("most at once", cells(({ bytes }) => bytes)),
    `memory    ${mebibytes(plan.total)} in all, ${mebibytes(plan.reserve)} of it for buffers between uses`,
    `memory    largest buffer ${mebibytes(bytes)}: ${label} [${shape}]`,
  ].join("\n");
}
