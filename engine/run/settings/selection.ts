/** How components are selected, and how many. */
import { z } from "npm:zod@4.6.7";
import { parseBudget } from "../../circuit/selection/budget.ts";
import { type SelectionMethod, selectionMethods } from "../../circuit/selection/select.ts";
import { byPreset } from "./preset.ts";
import { type Definitions, setting } from "./setting.ts";
import { ofSchema, oneOf } from "./value_types.ts";

/** How components are selected, and how many. */
export interface SelectionSettings {
  /** By what. */
  readonly method: SelectionMethod;
  /** As parseBudget reads it; without one a mask decides itself. */
  readonly budget: string | undefined;
}

const budgetText = z.union([z.string(), z.number()]).transform(String).refine((text) => {
  try {
    parseBudget(text);
    return true;
  } catch {
    return false;
  }
});

/** See SelectionSettings. */
export const selectionDefinitions = {
  method: setting({
    name: "select",
    type: oneOf<SelectionMethod>(selectionMethods, "METHOD"),
    otherwise: byPreset("select"),
    help: selectionMethods.join(", "),
    example: "gradient",
  }),
  budget: setting({
    name: "budget",
    type: ofSchema(budgetText, "SIZE", "40 or 1.6% (components), 20000p or 1%p (parameters)"),
    otherwise: `what the mask keeps; ${byPreset("budget")} for methods that rank`,
    help: "most to select: 40 or 1.6% components, 20000p or 1%p parameters",
    example: "1%p",
  }),
} satisfies Definitions<SelectionSettings>;
