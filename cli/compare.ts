/** compare: two models on the same items, from run folders, evaluations or the harness's sample files. */
import { compareOutcomes, describeComparison } from "../engine/evaluation/compare/compare.ts";
import { readOutcomes } from "../engine/evaluation/compare/outcomes.ts";
import { InputError } from "../engine/errors.ts";
import { setting } from "../engine/run/settings/setting.ts";
import { nonNegative, seed, text } from "../engine/run/settings/value_types.ts";
import { defineCommand, runCommand } from "./command.ts";
import { print, printJson } from "./terminal.ts";

const modelOf = (side: "a" | "b", which: string) =>
  setting({
    name: `model-${side}`,
    type: text("NAME"),
    otherwise: which,
    help: `which model of run folder ${side.toUpperCase()}: base, amplified, fused or a control`,
    example: "base",
  });

export const compare = defineCommand({
  name: "compare",
  summary:
    "Compares two models item by item: answers won and lost, McNemar's test, interval over clusters. A and B are run folders, " +
    "folders of evaluations or sample files of lm-evaluation-harness; a run folder alone compares its base with its amplified model.",
  arguments: "A [B]",
  settings: {
    comparison: {
      maxDrop: setting({
        name: "max-drop",
        type: nonNegative("POINTS"),
        otherwise: "any drop",
        help: "exit with 1 where a task, or all together, loses more accuracy than this many points",
        example: "1",
      }),
      margin: setting({
        name: "margin",
        type: nonNegative("POINTS"),
        default: 0.5,
        help: "margin of non-inferiority",
        example: "1",
      }),
      a: modelOf("a", "amplified; base where only A is given"),
      b: modelOf("b", "amplified"),
    },
    seed: setting({ name: "seed", type: seed, default: 0, help: "seed of the bootstrap", example: "1" }),
  },
  async run({ comparison: { maxDrop, margin, a, b }, seed, json }, [first, second, ...rest]) {
    if (first === undefined || rest.length > 0) {
      throw new InputError("Give two run folders, evaluations or sample files, or one run folder.");
    }
    const compared = compareOutcomes(
      await readOutcomes(first, a ?? (second === undefined ? "base" : undefined)),
      await readOutcomes(second ?? first, b),
      { margin: margin / 100, seed },
    );
    const all = [
      ...Object.entries(compared.tasks),
      ...(compared.pooled ? [["all together", compared.pooled] as const] : []),
    ];
    // Hundredths of a point, so that rounding does not decide.
    const dropped = all.filter(([, one]) => maxDrop !== undefined && -100 * one.difference > maxDrop + 1e-9)
      .map(([name]) => name);
    print(describeComparison(compared));
    if (dropped.length > 0) print(`more than ${maxDrop} points lost: ${dropped.join(", ")}`);
    if (json) {
      printJson({ ...compared, max_drop: maxDrop ?? null, dropped, passed: dropped.length === 0 });
    }
    return dropped.length > 0 ? 1 : 0;
  },
});

if (import.meta.main) await runCommand(compare);
