/**
 * Runs over a grid of settings. Stages that two points have in common (traces, gradient, selection, the unchanged model's
 * evaluation) are computed by the first of them; every point is a run folder of its own.
 */
import { join } from "node:path";
import { InputError } from "../errors.ts";
import { writeJson } from "../files.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { runAmplify, type RunOptions } from "./amplify_run.ts";
import type { Summary } from "./records.ts";
import { commonStages } from "./reuse.ts";
import {
  type RunChoices,
  runDefinitions,
  type RunSettings,
  runSettings,
  runSettingsRecord,
} from "./settings/run.ts";
import { settingsOf } from "./settings/setting.ts";
import { UnfitValue } from "./settings/value_types.ts";

/** Values of settings by name, each to be tried with all of the others. */
export type Grid = Readonly<Record<string, readonly unknown[]>>;

/** One combination: the value of each setting of the grid by name. */
export type Point = Readonly<Record<string, unknown>>;

/** What one point of a sweep gave. Fractions; `abilities` is the mean change of the other abilities. */
export interface SweepRow {
  readonly point: Point;
  /** Folder of its run, in the sweep's. */
  readonly folder: string;
  readonly gain: number;
  readonly ci95: readonly [number, number];
  readonly p: number;
  readonly components: number;
  readonly parameters: number;
  readonly parameter_share: number;
  readonly update_norm: number;
  readonly negative_flips: number;
  readonly abilities: number;
  /** Gain of each control by name. */
  readonly controls: Readonly<Record<string, number>>;
  /** Whether no other point gains more with as few parameters, or as much with fewer. */
  readonly pareto: boolean;
  readonly seconds: number;
}

/** More points than anyone waits for; a grid beyond is a slip. */
const mostPoints = 1000;

/**
 * All combinations of a grid, the first setting changing slowest.
 * @throws {InputError} for names that are no settings of a run, settings without values, and too many points.
 */
export function pointsOf(grid: Grid): Point[] {
  const known = new Set(settingsOf(runDefinitions).map(({ setting }) => setting.name));
  let points: Point[] = [{}];
  for (const [name, values] of Object.entries(grid)) {
    if (!known.has(name)) {
      throw new InputError(`The grid has "${name}", which is no setting of amplify.`, "grid");
    }
    if (values.length === 0) throw new InputError(`The grid has no value for "${name}".`, "grid");
    points = points.flatMap((point) => values.map((value) => ({ ...point, [name]: value })));
    if (points.length > mostPoints) {
      throw new InputError(`The grid has more than ${mostPoints} points.`, "grid");
    }
  }
  return points;
}

/**
 * The settings of one point: what is given, with the point's values in their places.
 * @throws {InputError} for a value that does not fit its setting.
 */
export async function pointSettings(given: RunChoices, point: Point): Promise<RunSettings> {
  const choices = structuredClone(given) as Record<string, unknown>;
  for (const { setting, path } of settingsOf(runDefinitions)) {
    if (!Object.hasOwn(point, setting.name)) continue;
    let value: unknown;
    try {
      value = setting.type.read(point[setting.name]);
    } catch (error) {
      if (!(error instanceof UnfitValue)) throw error;
      throw new InputError(
        `The grid's value ${JSON.stringify(error.shown)} for "${setting.name}" ${error.complaint}.`,
        "grid",
      );
    }
    let group = choices;
    for (const key of path.slice(0, -1)) group = (group[key] ??= {}) as Record<string, unknown>;
    group[path.at(-1)!] = value;
  }
  return await runSettings(choices as RunChoices);
}

/** A point as the name of its folder, e.g. `select=gradient,budget=3%p`. */
export function pointName(point: Point): string {
  const name = Object.entries(point).map(([key, value]) => `${key}=${text(value)}`).join(",");
  return name.replaceAll(/[^\w.,=%+-]/g, "_") || "defaults";
}

const text = (value: unknown) => typeof value === "string" ? value : JSON.stringify(value);

/**
 * Runs all points of a grid in `out`, resuming those that are finished, and leaves sweep.json there.
 * @throws {InputError} before anything runs, where a point does not fit or two have the same name.
 */
export async function runSweep(
  gpu: Gpu,
  given: RunChoices,
  grid: Grid,
  options: RunOptions,
): Promise<SweepRow[]> {
  const points = await Promise.all(
    pointsOf(grid).map(async (point) => ({
      point,
      name: pointName(point),
      settings: await pointSettings(given, point),
    })),
  );
  const names = new Set(points.map(({ name }) => name));
  if (names.size < points.length || [...names].some((name) => name.length > 200)) {
    throw new InputError(
      "Points of the grid need names of their own, no longer than 200 characters.",
      "grid",
    );
  }
  const finished: { folder: string; summary: Summary; point: Point; record: Record<string, unknown> }[] = [];
  for (const [i, { point, name, settings }] of points.entries()) {
    const record = runSettingsRecord(settings);
    const nearest = finished.map((run) => ({ run, stages: commonStages(run.record, record) }))
      .reduce<{ run?: typeof finished[number]; stages: number }>((a, b) => b.stages > a.stages ? b : a, {
        stages: 0,
      });
    const from = nearest.run ? join(options.out, nearest.run.folder) : options.from;
    const progress: RunOptions["progress"] = (stage, done, total, note) =>
      options.progress?.(`${i + 1} of ${points.length}: ${stage}`, done, total, note);
    const summary = await runAmplify(gpu, settings, {
      ...options,
      out: join(options.out, name),
      ...(from !== undefined ? { from } : {}),
      progress,
    });
    finished.push({ folder: name, summary, point, record });
  }
  const rows = sweepRows(finished);
  await writeJson(join(options.out, "sweep.json"), { grid, rows });
  return rows;
}

/** The rows of finished points. */
export function sweepRows(
  finished: readonly { folder: string; summary: Summary; point: Point }[],
): SweepRow[] {
  const rows = finished.map(({ folder, summary, point }) => {
    const { gain, ci95, p, components, parameters, parameter_share, update_norm, negative_flips } =
      summary.circuit;
    const changes = Object.values(summary.other_abilities).map(({ base, amplified }) => amplified - base);
    return {
      point,
      folder,
      gain,
      ci95,
      p,
      components,
      parameters,
      parameter_share,
      update_norm,
      negative_flips,
      abilities: changes.reduce((sum, change) => sum + change, 0) / Math.max(1, changes.length),
      controls: Object.fromEntries(Object.entries(summary.controls).map(([name, { gain }]) => [name, gain])),
      seconds: summary.seconds.total!,
    };
  });
  const dominates = (a: typeof rows[number], b: typeof rows[number]) =>
    a.gain >= b.gain && a.parameters <= b.parameters && (a.gain > b.gain || a.parameters < b.parameters);
  return rows.map((row) => ({ ...row, pareto: !rows.some((other) => dominates(other, row)) }));
}
