/** Progress of long stages: a bar with rate and time left on a terminal, plain lines elsewhere; and of the whole run. */
import process from "node:process";
import cliProgress from "npm:cli-progress@3.12.0";
import type { Gpu } from "../engine/gpu/gpu.ts";
import type { Progress } from "../engine/progress.ts";
import type { ExpectedStage } from "../engine/run/run_stages.ts";
import { endIfInterrupted } from "./interruption.ts";
import { duration, progressLine, rateText } from "./progress_line.ts";
import { RunEstimate } from "./run_estimate.ts";
import { columns, printableLine, printAside, setLiveLine } from "./terminal.ts";

/** On plain output, seconds to the first line of a stage that says how far it is, and between later ones. */
const plainSeconds = { first: 1.5, later: 10 } as const;

const now = () => performance.now() / 1000;
interface BarState {
  readonly value: number;
  readonly total: number;
}

const compiling = "compiling kernels …";

/** Draws progress on stderr, so that stdout holds results only. */
export class ProgressDisplay {
  private stage = "";
  private started = 0;
  private shown = 0;
  private lines = 0;
  private first = 0;
  private at = { done: 0, total: 0, note: "" };
  private bar: cliProgress.SingleBar | undefined;
  private run: RunEstimate | undefined;
  private runSaid = false;
  /** When kernels began to be compiled outside of any stage, and whether that was said. */
  private compilation: { readonly since: number; said: boolean } | undefined;

  constructor(private readonly quiet: boolean) {}

  /** To pass to the engine. */
  readonly report: Progress = (given, done, total, said = "") => {
    endIfInterrupted();
    if (this.quiet) return;
    const [stage, note] = [given, said].map(printableLine) as [string, string];
    if (stage !== this.stage) {
      this.finish();
      this.stage = stage;
      this.started = this.shown = now();
      this.first = done;
      this.lines = 0;
      if (Deno.stderr.isTerminal()) this.bar = this.startBar(total);
      else printAside(`${stage} …`);
    }
    this.at = { done, total, note };
    this.run?.report(stage, done, total);
    this.show();
    this.sayRun();
    if (done >= total) this.finish();
  };

  /** To pass to the engine: the stages that are to come, which the whole run's time is estimated from. */
  readonly expect = (stages: readonly ExpectedStage[]) => {
    this.run = new RunEstimate(stages, now);
  };

  /** Shows how far the GPU's work is as well, so that something moves inside of a stage's single steps; ends it on Ctrl-C. */
  watch(gpu: Gpu) {
    if (this.quiet) return; // submissions in parts cost time
    gpu.onWork = this.work;
    gpu.onCompile = this.compile;
  }

  private readonly work = (done: number, of: number) => {
    endIfInterrupted();
    this.compilation = undefined;
    if (this.stage === "" || done >= of) return;
    this.show(`${Math.floor(100 * done / of)} % of what is under way`);
  };

  private readonly compile = () => {
    endIfInterrupted();
    if (this.stage !== "") return this.show(compiling);
    this.compilation ??= { since: now(), said: false };
    const { since, said } = this.compilation;
    if (said || now() - since < plainSeconds.first) return;
    this.compilation.said = true;
    printAside(compiling);
  };

  private show(work = "") {
    const { stage, at: { done, total, note: said } } = this;
    const note = [said, work].filter(Boolean).join(", ");
    if (this.bar) {
      this.bar.setTotal(total);
      this.bar.update(done, { note });
      return;
    }
    if (now() - this.shown < (this.lines === 0 ? plainSeconds.first : plainSeconds.later)) return;
    this.shown = now();
    this.lines++;
    const run = this.run?.text();
    const rate = this.rate(done);
    const facts = [`${done} of ${total}`, rate === undefined ? "" : rateText(rate), note].filter(Boolean);
    printAside(`${stage}: ${facts.join(", ")}${run ? ` (run: ${run})` : ""}`);
  }

  /** Says once, as soon as the speed is known, how long the whole run takes. */
  private sayRun() {
    const left = this.runSaid ? undefined : this.run?.left();
    if (!left) return;
    this.runSaid = true;
    printAside(`the run takes about ${duration(left.seconds)} more at this speed`);
  }

  /** To pass to the engine. */
  readonly notice = (sentence: string) => {
    if (!this.quiet) printAside(`note: ${sentence}`);
  };

  /** Ends the current stage, and says how long it took and where it ended early. */
  finish() {
    this.bar?.stop();
    this.bar = undefined;
    setLiveLine(false);
    if (this.stage && !this.quiet) {
      const { done, total } = this.at;
      const early = done < total ? `, ended after ${done} of ${total}` : "";
      printAside(`${this.stage}: ${(now() - this.started).toFixed(1)} s${early}`);
    }
    this.stage = "";
  }

  /** Done a second since the stage began; what a resumed stage had done before does not count. */
  private rate(done: number): number | undefined {
    return done > this.first ? (done - this.first) / Math.max(now() - this.started, 1e-3) : undefined;
  }

  private startBar(total: number) {
    const bar = new cliProgress.SingleBar({
      format: (_: unknown, { value, total }: BarState, { note }: { note: string }) =>
        progressLine({
          stage: this.stage,
          done: value,
          total,
          rate: this.rate(value),
          run: this.run?.text(),
          note,
        }, columns()),
      clearOnComplete: true,
      stream: process.stderr,
    });
    bar.start(total, 0, { note: "" });
    setLiveLine(true);
    return bar;
  }
}
