/** Checks, counted and printed as they come. */
import type { Gpu } from "../engine/gpu/gpu.ts";
import type { Check } from "../engine/verify/golden.ts";
import { print, printJson } from "./terminal.ts";

/** See file comment; `quiet` keeps to failures, `json` ends with a line of JSON that has all of them. */
export class Tally {
  private passed = 0;
  private failed = 0;
  private readonly checks: (Check & { readonly of: string })[] = [];

  constructor(private readonly values: { readonly quiet: boolean; readonly json: boolean }) {}

  begin(gpu: Gpu) {
    if (!this.values.quiet) print(`adapter: ${gpu.adapterName}`);
  }

  add(name: string, check: Check) {
    if (check.passed) this.passed++;
    else this.failed++;
    this.checks.push({ of: name, ...check });
    if (this.values.quiet && check.passed) return;
    const verdict = check.passed ? "ok    " : "FAILED";
    print(`${verdict} ${name} ${check.name}: ${check.error.toExponential(1)} (limit ${check.limit})`);
  }

  /** Prints the totals and returns the exit code. */
  end(gpu: Gpu, more: Record<string, unknown> = {}): number {
    const { passed, failed, checks } = this;
    print(`${passed} passed, ${failed} failed`);
    if (this.values.json) printJson({ passed, failed, adapter: gpu.adapterName, checks, ...more });
    return failed > 0 ? 1 : 0;
  }
}
