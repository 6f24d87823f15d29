/** How a run is started, which changes nothing in what it computes. */
import { offlineSetting } from "./model.ts";
import { setting } from "./setting.ts";
import { text, toggle } from "./value_types.ts";

/** Whether kernels are chosen by measurement. */
export const tuneSetting = setting({
  name: "tune",
  type: toggle,
  default: true,
  help: "choose kernels by measurement",
  example: "",
});

/** A folder to write into. */
export function outSetting(help: string, otherwise: string) {
  return setting({ name: "out", type: text("DIR"), otherwise, help, example: "runs/mine" });
}

/** Whether to start over. */
export const freshSetting = setting({
  name: "fresh",
  type: toggle,
  default: false,
  help: "start over instead of resuming what the folder holds",
  example: "",
});

/** Of anything that works on a model. */
export const startDefinitions = { offline: offlineSetting, tune: tuneSetting };

/** Of a run in a folder. */
export const runStartDefinitions = {
  ...startDefinitions,
  out: outSetting("run folder", "runs/ and a name from command, model and seed"),
  fresh: freshSetting,
  from: setting({
    name: "from",
    type: text("RUN"),
    otherwise: "all stages are computed",
    help: "run folder whose traces, and mask where its settings are the same, are taken",
    example: "runs/earlier",
  }),
};
