/** deno task identify: pivotal tokens and the component mask; `amplify` on the same run folder takes up from there. */
import { countSelected } from "../engine/circuit/components.ts";
import { Gpu } from "../engine/gpu/gpu.ts";
import { runIdentify } from "../engine/run/amplify_run.ts";
import { runCommand } from "./command.ts";
import { ProgressDisplay } from "./progress.ts";
import {
  dataFlags,
  identifyFlags,
  modelFlags,
  outFlags,
  outFolder,
  promptFlags,
  toSettings,
  updateFlags,
} from "./run_flags.ts";

await runCommand({
  name: "identify",
  summary: "Finds pivotal tokens and learns which heads and neurons decide them.",
  flags: [...modelFlags, ...dataFlags, ...promptFlags, ...identifyFlags, ...updateFlags, ...outFlags],
  async run(values) {
    const settings = await toSettings(values);
    const out = outFolder(values, "amplify", settings);
    const display = new ProgressDisplay(values.quiet === true);
    using gpu = await Gpu.open();
    const options = {
      out,
      fresh: values.fresh === true,
      tune: !values["no-tune"],
      offline: values.offline === true,
      progress: display.report,
    };
    const { examples, selection, config } = await runIdentify(gpu, settings, options);
    display.finish();
    const components = countSelected(config, selection);
    const kinds = Object.entries(components.by_kind).map(([kind, count]) => `${count} ${kind}`).join(", ");
    console.log(`pivotal tokens ${examples.length}`);
    console.log(
      `circuit        ${components.selected} of ${components.total} components (${
        components.percent.toFixed(1)
      } %: ${kinds})`,
    );
    console.log(`run folder     ${out}`);
    if (values.json) console.log(JSON.stringify({ localization_examples: examples.length, components, out }));
  },
});
