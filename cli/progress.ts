/** Progress of long stages: a bar with rate and time left on a terminal, plain lines elsewhere. */
import process from "node:process";
import cliProgress from "npm:cli-progress@3.12.0";
import type { Progress } from "../engine/progress.ts";

const plainEverySeconds = 10;

/** Draws progress on stderr, so that stdout holds results only. */
export class ProgressDisplay {
  private stage = "";
  private started = 0;
  private shown = 0;
  private bar: cliProgress.SingleBar | undefined;

  constructor(private readonly quiet: boolean) {}

  /** To pass to the engine. */
  readonly report: Progress = (stage, done, total, note = "") => {
    if (this.quiet) return;
    if (stage !== this.stage) {
      this.finish();
      this.stage = stage;
      this.started = this.shown = performance.now();
      if (Deno.stderr.isTerminal()) this.bar = startBar(stage, total);
      else console.error(`${stage} …`);
    }
    if (this.bar) {
      this.bar.setTotal(total);
      this.bar.update(done, { note, rate: this.rate(done) });
    } else if (performance.now() - this.shown > plainEverySeconds * 1000) {
      this.shown = performance.now();
      console.error(`${stage}: ${done} of ${total}, ${this.rate(done)}${note && `, ${note}`}`);
    }
    if (done >= total) this.finish();
  };

  /** To pass to the engine; said also when progress is not. */
  readonly notice = (sentence: string) => {
    this.finish();
    console.error(`note: ${sentence}`);
  };

  /** Ends the current stage's bar or line. */
  finish() {
    if (this.bar) this.bar.stop();
    else if (this.stage && !this.quiet) {
      console.error(`${this.stage}: ${((performance.now() - this.started) / 1000).toFixed(1)} s`);
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
