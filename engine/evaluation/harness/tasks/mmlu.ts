/**
 * MMLU (Hendrycks et al. 2021): multiple choice in 57 subjects, in four groups. The letter is scored.
 *
 *     The following are multiple choice questions (with answers) about anatomy.
 *
 *     Which bone is in the thigh?
 *     A. Femur
 *     B. Ulna
 *     C. Tibia
 *     D. Radius
 *     Answer: A
 */
import { z } from "npm:zod@4.6.7";
import { strip } from "../python_text.ts";
import type { ChoiceTask } from "../task.ts";

const letters = ["A", "B", "C", "D"];

const listed = z.looseObject({
  question: z.string(),
  choices: z.array(z.string()).length(4),
  answer: z.coerce.number().pipe(z.int().min(0).max(3)),
});
/** Tables have a column a choice. */
const columns = z.looseObject({
  question: z.string(),
  choice0: z.string(),
  choice1: z.string(),
  choice2: z.string(),
  choice3: z.string(),
  answer: z.union([z.enum(letters).transform((letter) => letters.indexOf(letter)), z.coerce.number()])
    .pipe(z.int().min(0).max(3)),
}).transform(({ choice0, choice1, choice2, choice3, ...rest }) => ({
  ...rest,
  choices: [choice0, choice1, choice2, choice3],
}));
const rows = z.union([listed, columns]);
type Row = z.infer<typeof rows>;

const subjects = {
  stem:
    "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science college_mathematics college_physics computer_security conceptual_physics electrical_engineering elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science high_school_mathematics high_school_physics high_school_statistics machine_learning",
  other:
    "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology",
  social_sciences:
    "econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations security_studies sociology us_foreign_policy",
  humanities:
    "formal_logic high_school_european_history high_school_us_history high_school_world_history international_law jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law world_religions",
};

/** Names of the tasks of each group. */
export const mmluGroups: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries(subjects).map((
    [group, names],
  ) => [`mmlu_${group}`, names.split(" ").map((name) => `mmlu_${name}`)]),
);

/** One task a subject. */
export const mmlu: readonly ChoiceTask<Row>[] = Object.values(subjects).flatMap((names) =>
  names.split(" ").map((subject): ChoiceTask<Row> => ({
    kind: "choice",
    name: `mmlu_${subject}`,
    alias: subject,
    version: 1,
    files: [`mmlu_${subject}`, subject],
    rows,
    split: "test",
    shotSplit: "dev",
    shots: 0,
    sampler: "first",
    description: `The following are multiple choice questions (with answers) about ${
      subject.replaceAll("_", " ")
    }.\n\n`,
    text: ({ question, choices }) =>
      `${strip(question)}\n${choices.map((choice, i) => `${letters[i]}. ${choice}\n`).join("")}Answer:`,
    answer: ({ answer }) => letters[answer]!,
    target: ({ answer }) => answer,
    choices: () => letters,
    gold: ({ answer }) => answer,
    measures: ["acc"],
  }))
);
