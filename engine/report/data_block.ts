/** The data block of a page: what its script reads, and what anyone can take out of the file again. Keys are snake_case. */
import { listedComponents, mapGeometry } from "./heat_map.ts";
import { thinned } from "./curves.ts";
import type { Pivot } from "./pivots.ts";
import type { Answer, RunData } from "./run_data.ts";

/** Most characters of JSON that a page gives each of its browsers, so that a report of any run stays small. */
export const browserRoom = { pivots: 350_000, answers: 450_000 };

/** As many rows as fit into `room` characters of JSON, in order, but at least one. */
export function rowsWithin<T>(rows: readonly T[], room: number): T[] {
  let used = 0;
  const end = rows.findIndex((row) => (used += JSON.stringify(row).length + 1) > room);
  return end < 0 ? [...rows] : rows.slice(0, Math.max(1, end));
}

/** The pivots that a page holds, probabilities to three digits. */
export function shownPivots({ pivots }: RunData): Pivot[] | undefined {
  const rounded = (value: number | undefined) =>
    value === undefined ? undefined : Number(value.toPrecision(3));
  return pivots && rowsWithin(
    pivots.map((pivot) => ({
      ...pivot,
      desired: {
        ...pivot.desired,
        base: rounded(pivot.desired.base),
        amplified: rounded(pivot.desired.amplified),
      },
      undesired: {
        ...pivot.undesired,
        base: rounded(pivot.undesired.base),
        amplified: rounded(pivot.undesired.amplified),
      },
    })),
    browserRoom.pivots,
  );
}

/** The answers that a page holds: those that changed come first, so that they are left out last. */
export function shownAnswers({ answers }: RunData): Answer[] | undefined {
  if (!answers) return undefined;
  const change = ({ base, amplified }: Answer) =>
    base.correct !== amplified.correct ? 0 : base.text !== amplified.text ? 1 : 2;
  return rowsWithin(answers.toSorted((a, b) => change(a) - change(b)), browserRoom.answers);
}

/** All that the page of a run holds as data. */
export function dataBlock(run: RunData): Record<string, unknown> {
  const { name, summary, config, update, mask, components } = run;
  return {
    name,
    summary,
    config,
    update,
    ...(mask && { mask: { ...mask, losses: thinned(mask.losses), selected: thinned(mask.selected) } }),
    ...(components && { map: mapGeometry(components.layout), components: listedComponents(components) }),
    pivots: shownPivots(run),
    answers: shownAnswers(run),
  };
}
