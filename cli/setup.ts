/**
 * Makes sure that there is a WebGPU adapter before a command runs. Without a Vulkan one on Linux it installs the software
 * Vulkan driver if it may (root, or sudo without a password); otherwise it says what to type and ends with exit code 3.
 * Mesa's OpenGL is an adapter too, but one without subgroups and f16, so it serves only where Vulkan cannot be had.
 */
import { adapterRemedy, Gpu } from "../engine/gpu/gpu.ts";
import { NoAdapterError } from "../engine/errors.ts";

const packages = ["mesa-vulkan-drivers", "libvulkan1"];
const backendVariable = "DENO_WEBGPU_BACKEND";

const linux = Deno.build.os === "linux";
const [checked] = Deno.args; // set in the processes that this one starts: the backend to look for
if (!await hasAdapter(checked ?? (linux ? "vulkan" : undefined))) {
  const found = !checked && linux &&
    (await installSoftwareVulkan(), await check("vulkan") || await check("any"));
  if (!found) {
    if (!checked) console.error(`error: No WebGPU adapter was found. ${adapterRemedy}`);
    Deno.exit(3);
  }
}
Deno.exit(0);

/** Whether there is an adapter of this backend; a backend that the user has set is what counts then. */
async function hasAdapter(backend: string | undefined): Promise<boolean> {
  const choose = backend !== undefined && backend !== "any" && !Deno.env.has(backendVariable);
  if (choose) Deno.env.set(backendVariable, backend);
  try {
    using _gpu = await Gpu.open();
    return true;
  } catch (error) {
    if (error instanceof NoAdapterError) return false;
    throw error;
  } finally {
    if (choose) Deno.env.delete(backendVariable); // processes started from here choose for themselves
  }
}

/** A loader that was missing when this process started stays missing in it, so a new process looks again. */
async function check(backend: string): Promise<boolean> {
  const permissions = ["--quiet", "--allow-read", "--allow-env"];
  return (await run(Deno.execPath(), ["run", ...permissions, import.meta.url, backend])).success;
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
