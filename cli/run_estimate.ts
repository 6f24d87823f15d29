/** How far a whole run is and how long the rest takes at the speed it has shown. */
import type { ExpectedStage } from "../engine/run/run_stages.ts";
import { duration } from "./progress_line.ts";

/** Seconds and share of the work before an estimate says anything. */
const enough = { seconds: 4, share: 0.01 } as const;

/** Follows a run through the stages it is expected to have; stages that end early, or were done before, count as done. */
export class RunEstimate {
  private readonly before: number[] = [];
  private readonly total: number;
  private began: { at: number; work: number } | undefined;
  private last = { at: 0, work: 0 };

  /** `now` is the time in seconds. */
  constructor(private readonly stages: readonly ExpectedStage[], private readonly now: () => number) {
    let sum = 0;
    for (const { work } of stages) {
      this.before.push(sum);
      sum += work;
    }
    this.total = sum;
  }

  /** Says how far a stage is. Stages that nobody expected change nothing. */
  report(stage: string, done: number, total: number) {
    const named = this.stages.map(({ name }, i) => ({ name, i })).filter(({ name }) =>
      stage.startsWith(name)
    );
    const found = named.sort((a, b) => b.name.length - a.name.length)[0];
    if (!found) return;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const work = this.before[found.i]! + share * this.stages[found.i]!.work;
    const at = this.now();
    this.began ??= { at, work };
    // Samples come in several rounds under one name: what was done stays done.
    if (work > this.last.work) this.last = { at, work };
  }

  /** Share of the run that is done, and seconds that are left; undefined before enough is known. */
  left(): { share: number; seconds: number } | undefined {
    const { began, last, total } = this;
    if (!began || last.at - began.at < enough.seconds || last.work - began.work < enough.share * total) {
      return;
    }
    const rest = (total - last.work) * (last.at - began.at) / (last.work - began.work);
    return { share: last.work / total, seconds: Math.max(0, rest - (this.now() - last.at)) };
  }

  /** The same in words. */
  text(): string | undefined {
    const left = this.left();
    return left && `${Math.floor(100 * left.share)} %, about ${duration(left.seconds)} left`;
  }
}
