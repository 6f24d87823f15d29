/** What is said of an adapter: that it is reached through OpenGL, by doctor and by whatever runs on it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { Gpu } from "../../engine/gpu/gpu.ts";
import { inspectAdapter } from "../../engine/run/doctor.ts";
import { noticeAdapter } from "../../engine/run/start_options.ts";
import { describeAdapter } from "../../engine/run/summary_text.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";

/** Whether an adapter of this description and these features counts as OpenGL. */
function isOpenGL(description: string, adapterFeatures: string[], deviceFeatures: string[]): boolean {
  const adapter = {
    info: { description, vendor: "", architecture: "", device: "" },
    features: new Set(adapterFeatures),
  };
  const parts = {
    adapter,
    device: { features: new Set(deviceFeatures) },
  };
  const gpu = Object.create(Gpu.prototype, Object.getOwnPropertyDescriptors(parts));
  return (gpu as Gpu).isOpenGL;
}

Deno.test("OpenGL is known by its name, or by what it lacks", () => {
  const vulkan = ["timestamp-query", "bgra8unorm-storage"];
  assertEquals(isOpenGL("NVIDIA GeForce RTX 4090", vulkan, ["subgroups"]), false);
  assertEquals(isOpenGL("NVIDIA GeForce RTX 4090", vulkan, []), false); // an old Vulkan driver without subgroups
  assertEquals(isOpenGL("NVIDIA GeForce RTX 4090/PCIe/SSE2", ["timestamp-query"], []), true);
  assertEquals(isOpenGL("llvmpipe (LLVM 15.0.6, 256 bits)", ["timestamp-query"], []), true);
  assertEquals(isOpenGL("Mesa OpenGL ES on Intel", vulkan, ["subgroups"]), true);
  assertEquals(isOpenGL("Eagle GPU", vulkan, ["subgroups"]), false);
});

Deno.test("a run on OpenGL says so, on anything else it does not", () => {
  const said: string[] = [];
  const options = { notice: (sentence: string) => void said.push(sentence) };
  noticeAdapter({ isOpenGL: false, adapterName: "Some GPU" }, options);
  noticeAdapter({ isOpenGL: true, adapterName: "Some GPU" }, options);
  assertEquals(said.length, 1);
  assertStringIncludes(said[0]!, "Some GPU is reached through OpenGL");
});

gpuTest("doctor's report names what it runs on", async ({ gpu }) => {
  const report = await inspectAdapter(gpu);
  assertEquals([report.adapter, report.opengl, report.software], [
    gpu.adapterName,
    gpu.isOpenGL,
    gpu.isSoftware,
  ]);
  assertStringIncludes(describeAdapter(report), `adapter   ${gpu.adapterName}`);
  assertStringIncludes(describeAdapter({ ...report, opengl: true }), `${gpu.adapterName}, through OpenGL`);
});
