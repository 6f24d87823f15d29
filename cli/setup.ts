/**
 * Makes sure that there is a WebGPU adapter before a command runs. Without one on Linux it installs the software Vulkan
 * driver if it may (root, or sudo without a password); otherwise it says what to type and ends with exit code 3.
 */
import { adapterRemedy, Gpu } from "../engine/gpu/gpu.ts";
import { NoAdapterError } from "../engine/errors.ts";

const packages = ["mesa-vulkan-drivers", "libvulkan1"];

if (!await hasAdapter()) {
  if (Deno.build.os === "linux" && !Deno.args.includes("--check")) await installSoftwareVulkan();
  // A loader that was missing when this process started stays missing in it, so a new process looks again.
  const again = Deno.args.includes("--check") ? false : (await run(Deno.execPath(), [
    "run",
    "--quiet",
    "--allow-read",
    "--allow-env",
    import.meta.url,
    "--check",
  ])).success;
  if (!again) {
    console.error(`error: No WebGPU adapter was found. ${adapterRemedy}`);
    Deno.exit(3);
  }
}
Deno.exit(0);

async function hasAdapter(): Promise<boolean> {
  try {
    using _gpu = await Gpu.open();
    return true;
  } catch (error) {
    if (error instanceof NoAdapterError) return false;
    throw error;
  }
}

async function installSoftwareVulkan() {
  const root = Deno.uid() === 0;
  if (!root && !(await run("sudo", ["-n", "true"])).success) return;
  const apt = (...args: string[]) => root ? run("apt-get", args) : run("sudo", ["-n", "apt-get", ...args]);
  console.error(
    "No WebGPU adapter: installing the software Vulkan driver (mesa-vulkan-drivers, libvulkan1) …",
  );
  await apt("update", "-qq");
  const installed = await apt("install", "-y", "-qq", "--no-install-recommends", ...packages);
  if (!installed.success) console.error(new TextDecoder().decode(installed.stderr).trim());
}

async function run(command: string, args: string[]) {
  try {
    return await new Deno.Command(command, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      env: { DEBIAN_FRONTEND: "noninteractive" },
    }).output();
  } catch {
    return { success: false, stderr: new Uint8Array() };
  }
}
