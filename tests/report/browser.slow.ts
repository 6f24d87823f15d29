/** The checks of reports in a real browser, in a process of their own: what drives the browser needs all permissions. */
import { fileURLToPath } from "node:url";
import { assert } from "@std/assert";

const chromium = Deno.env.get("CHROMIUM") ?? "/usr/bin/chromium";
const there = await Deno.stat(chromium).then(({ isFile }) => isFile, () => false);

Deno.test({
  name: there
    ? "reports hold in a real browser"
    : `reports hold in a real browser (there is no ${chromium}; install Debian's package chromium)`,
  ignore: !there,
  async fn() {
    const checks = fileURLToPath(new URL("browser_checks.ts", import.meta.url));
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--quiet", "--allow-all", checks],
      env: { NO_COLOR: "1" },
    }).output();
    assert(success, [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n"));
  },
});
