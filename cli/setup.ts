/**
 * Runs before every command that needs a GPU: where Linux has no Vulkan adapter, says so and installs the software Vulkan
 * driver if it may (root, or sudo without a password). Mesa's OpenGL is an adapter too, but one without subgroups, so it
 * serves only where Vulkan cannot be had. Never fails: a command without an adapter says itself what is missing (exit code 3).
 */
import "./quiet_vulkan.ts";
import { NoAdapterError } from "../engine/errors.ts";
import { Gpu } from "../engine/gpu/gpu.ts";

const packages = ["mesa-vulkan-drivers", "libvulkan1"];
const backendVariable = "DENO_WEBGPU_BACKEND"; // wgpu's choice of backend; who has set it has chosen
const optOut = "CIRCUIT_AMP_NO_SETUP";

if (
  Deno.build.os === "linux" && !Deno.env.get(optOut) && !Deno.env.has(backendVariable) &&
  !await hasVulkan()
) await installSoftwareVulkan();
Deno.exit(0);

async function hasVulkan(): Promise<boolean> {
  Deno.env.set(backendVariable, "vulkan");
  try {
    using _gpu = await Gpu.open();
    return true;
  } catch (error) {
    if (error instanceof NoAdapterError) return false;
    throw error;
  }
}

async function installSoftwareVulkan() {
  const names = packages.join(" ");
  if (!(await run("apt-get", ["--version"])).success) return; // not Debian's family
  const root = Deno.uid() === 0;
  if (!root && !(await run("sudo", ["-n", "true"])).success) {
    console.error(`There is no Vulkan adapter. To install a software one: sudo apt-get install ${names}`);
    return;
  }
  console.error(
    `There is no Vulkan adapter. Installing the software driver (apt-get install ${names}); ${optOut}=1 prevents it …`,
  );
  const apt = (...args: string[]) => root ? run("apt-get", args) : run("sudo", ["-n", "apt-get", ...args]);
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
    return { success: false, stderr: new Uint8Array() }; // not installed, or not permitted
  }
}
