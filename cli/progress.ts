/** Progress of long stages: a bar with rate and time left on a terminal, plain lines elsewhere. */
import process from "node:process";
import cliProgress from "npm:cli-progress@3.12.0";
import type { Gpu } from "../engine/gpu/gpu.ts";
import type { Progress } from "../engine/progress.ts";
import { printAside } from "./terminal.ts";

/** On plain output, seconds to the first line of a stage that says how far it is, and between later ones. */
const plainSeconds = { first: 1.5, later: 10 } as const;

/** Draws progress on stderr, so that stdout holds results only. */
export class ProgressDisplay {
  private stage = "";
  private started = 0;
  private shown = 0;
  private lines = 0;
  private at = { done: 0, total: 0, note: "" };
  private bar: cliProgress.SingleBar | undefined;

  constructor(private readonly quiet: boolean) {}

  /** To pass to the engine. */
  readonly report: Progress = (stage, done, total, note = "") => {
    if (this.quiet) return;
    if (stage !== this.stage) {
      this.finish();
      this.stage = stage;
      this.started = this.shown = performance.now();
      this.lines = 0;
      if (Deno.stderr.isTerminal()) this.bar = startBar(stage, total);
      else printAside(`${stage} …`);
    }
    this.at = { done, total, note };
    this.show();
    if (done >= total) this.finish();
  };

  /** Shows how far the GPU's work is as well, so that something moves inside of a stage's single steps. */
  watch(gpu: Gpu) {
    if (!this.quiet) gpu.onWork = this.work;
  }

  private readonly work = (done: number, of: number) => {
    if (this.quiet || this.stage === "" || done >= of) return;
    this.show(`${Math.floor(100 * done / of)} % of what is under way`);
  };

  private show(work = "") {
    const { stage, at: { done, total, note: said } } = this;
    const note = [said, work].filter(Boolean).join(", ");
    if (this.bar) {
      this.bar.setTotal(total);
      this.bar.update(done, { note, rate: this.rate(done) });
      return;
    }
    const seconds = (performance.now() - this.shown) / 1000;
    if (seconds < (this.lines === 0 ? plainSeconds.first : plainSeconds.later)) return;
    this.shown = performance.now();
    this.lines++;
    printAside(`${stage}: ${done} of ${total}, ${this.rate(done)}${note && `, ${note}`}`);
  }

  /** To pass to the engine. */
  readonly notice = (sentence: string) => {
    if (this.quiet) return;
    this.finish();
    printAside(`note: ${sentence}`);
  };

  /** Ends the current stage's bar or line. */
  finish() {
    if (this.bar) this.bar.stop();
    else if (this.stage && !this.quiet) {
      printAside(`${this.stage}: ${((performance.now() - this.started) / 1000).toFixed(1)} s`);
    }
    this.bar = undefined;
    this.stage = "";
  }

  private rate(done: number): string {
    const seconds = (performance.now() - this.started) / 1000;
    const rate = done / Math.max(seconds, 1e-3);
    return `${rate >= 10 ? rate.toFixed(0) : rate.toFixed(1)}/s`;
  }
}

function startBar(stage: string, total: number) {
  const bar = new cliProgress.SingleBar({
    format: `${stage.padEnd(28)} {bar} {value}/{total} {rate} {eta_formatted} left {note}`,
    hideCursor: true,
    stream: process.stderr,
  }, cliProgress.Presets.shades_classic);
  bar.start(total, 0, { note: "", rate: "" });
  return bar;
}
