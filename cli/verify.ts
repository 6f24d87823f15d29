/** deno task verify: checks this adapter and driver against golden folders. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Gpu } from "../engine/gpu/gpu.ts";
import { verifyGolden } from "../engine/run/verify.ts";
import { runCommand, types } from "./command.ts";

const golden = fileURLToPath(new URL("../fixtures/golden", import.meta.url));

await runCommand({
  name: "verify",
  summary: "Checks logits, gradients and updates on this GPU against expected values.",
  flags: [
    {
      name: "golden",
      value: "DIR",
      help: "golden folder, repeatable (default: all in fixtures/golden)",
      type: types.text,
      repeat: true,
    },
  ],
  async run(values) {
    const folders = (values.golden as string[] | undefined) ?? await goldenFolders();
    using gpu = await Gpu.open();
    if (!values.quiet) console.log(`adapter: ${gpu.adapterName}`);
    let [passed, failed] = [0, 0];
    for (const folder of folders) {
      const name = folder.replace(/\/+$/, "").split("/").at(-1);
      await verifyGolden(gpu, folder, (check) => {
        if (check.passed) passed++;
        else failed++;
        if (values.quiet && check.passed) return;
        const verdict = check.passed ? "ok    " : "FAILED";
        console.log(
          `${verdict} ${name} ${check.name}: ${check.error.toExponential(1)} (limit ${check.limit})`,
        );
      });
    }
    console.log(`${passed} passed, ${failed} failed`);
    if (values.json) console.log(JSON.stringify({ passed, failed, adapter: gpu.adapterName }));
    return failed > 0 ? 1 : 0;
  },
});

async function goldenFolders(): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(golden));
  return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(golden, name)).sort();
}
