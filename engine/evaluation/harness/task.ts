/**
 * The declarative form of a task: where its rows lie, how a row becomes a prompt, and what is right. The conventions are those of
 * EleutherAI's lm-evaluation-harness 0.4.13 (https://github.com/EleutherAI/lm-evaluation-harness), so that scores compare.
 */
import type { z } from "npm:zod@4.6.7";
import type { ThinkingOptions } from "../thinking.ts";
import type { Filter } from "./filters.ts";

/** Parts of a data set. */
export type SplitName = "train" | "dev" | "validation" | "test";

/** What stands between a text and its answer, and after each worked example. */
export const answerDelimiter = " ", exampleDelimiter = "\n\n";

interface TaskForm<Doc> {
  readonly name: string;
  /** How result tables call it, default its name. */
  readonly alias?: string;
  readonly version: number;
  /** Local files are called `NAME_SPLIT` and an ending, by the first of these names that is there. */
  readonly files: readonly string[];
  /** What a row must hold. */
  readonly rows: z.ZodType<Doc>;
  /** The part that is asked. */
  readonly split: SplitName;
  /** The part that worked examples come from. */
  readonly shotSplit?: SplitName;
  /** Worked examples that are the same for each row, instead of such a part. */
  readonly shotDocs?: readonly Doc[];
  /** Worked examples unless told otherwise. */
  readonly shots: number;
  /** The number of worked examples cannot be chosen. */
  readonly shotsFixed?: boolean;
  /** `random` (default): by Python's generator, other ones for each row. `first`: always the first ones. */
  readonly sampler?: "first" | "random";
  /** Stands before everything; in a chat it is the system's message. */
  readonly description?: string;
  /** A row as text, up to where the answer begins. */
  readonly text: (doc: Doc) => string;
  /** The answer as a worked example shows it. */
  readonly answer: (doc: Doc) => string;
  /** The reference answer as samples keep it. */
  readonly target: (doc: Doc) => string | number | readonly string[];
  /** What preprocessing adds to a row in samples. */
  readonly derived?: (doc: Doc) => Readonly<Record<string, unknown>>;
}

/** The most probable of several continuations is the answer. */
export interface ChoiceTask<Doc> extends TaskForm<Doc> {
  readonly kind: "choice";
  /** Continuations, without the delimiter before them. */
  readonly choices: (doc: Doc) => readonly string[];
  /** A context for each choice instead of one for all. */
  readonly contexts?: (doc: Doc) => readonly string[];
  /** The right choice, from 0. */
  readonly gold: (doc: Doc) => number;
  /** Which choices are true (1) or false (0), for `true-share`. */
  readonly labels?: (doc: Doc) => readonly number[];
  /**
   * `acc`: the most probable choice is right. `acc_norm`: so is the most probable a character. `true-share`, called acc by the
   * harness: probability of the true choices as a share of all.
   */
  readonly measures: readonly ("acc" | "acc_norm" | "true-share")[];
}

/** The model writes an answer. */
export interface GenerationTask<Doc> extends TaskForm<Doc> {
  readonly kind: "generation";
  /** Texts before which a completion ends, besides the model's end of sequence. */
  readonly until: readonly string[];
  /** Ways to read the answer from a completion, by name; each is scored. */
  readonly filters: Readonly<Record<string, Filter>>;
  /** Whether what a filter left answers the row. */
  readonly matches: (answer: string, doc: Doc) => boolean;
}

/** What a model wrote. */
export interface Written {
  /** Up to the first text that ends it. */
  readonly text: string;
  /** How many tokens. */
  readonly tokens: number;
  /** The limit of tokens ended it, nothing else. */
  readonly atLimit: boolean;
}

/** What a completion came to. */
export interface Judged {
  /** The answer that was read. */
  readonly answer: string;
  readonly correct: boolean;
  /** What samples keep besides, by name. */
  readonly record: object;
}

/** The model writes something that is judged as a whole, by more than a comparison. */
export interface JudgedTask<Doc> extends TaskForm<Doc> {
  readonly kind: "generation";
  /** As of GenerationTask. */
  readonly until: readonly string[];
  readonly judge: (written: Written, doc: Doc, options: ThinkingOptions) => Judged;
}

/** See file comment. */
export type HarnessTask<Doc> = ChoiceTask<Doc> | GenerationTask<Doc> | JudgedTask<Doc>;

// deno-lint-ignore no-explicit-any -- tasks of rows of every form stand in one list; `rows` checks each before use
export type AnyTask = HarnessTask<any>;
