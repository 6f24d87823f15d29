/** Copies of checkpoints larger than the memory they may take. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertLess } from "@std/assert";
import { Checkpoint } from "../../engine/checkpoint/checkpoint.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const matrix = "model.layers.0.mlp.up_proj.weight";

Deno.test({
  name: "rows of a matrix of 384 MiB are replaced without holding it, its type kept or not",
  ignore: Deno.build.os !== "linux",
  async fn() {
    await using folder = await temporaryFolder();
    const [rows, columns] = [49152, 4096];
    const size = rows * columns * 2;
    const header = new TextEncoder().encode(
      JSON.stringify({ [matrix]: { dtype: "BF16", shape: [rows, columns], data_offsets: [0, size] } }),
    );
    const source = join(folder.path, "source");
    await Deno.mkdir(source);
    await Deno.writeTextFile(join(source, "config.json"), "{}");
    {
      using file = await Deno.open(join(source, "model.safetensors"), { write: true, create: true });
      const length = new Uint8Array(8);
      new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
      await file.write(length);
      await file.write(header);
      await file.truncate(8 + header.length + size); // a hole, which costs no disk
    }
    const at = (path: string) =>
      JSON.stringify(fileURLToPath(new URL(`../../engine/checkpoint/${path}`, import.meta.url)));
    for (const dtype of ["BF16", "F32"] as const) {
      const target = join(folder.path, dtype);
      const script = `
        import { rewriteCheckpoint } from ${at("rewrite_checkpoint.ts")};
        import { Checkpoint } from ${at("checkpoint.ts")};
        const peak = async () => Number((await Deno.readTextFile("/proc/self/status")).match(/VmHWM:\\s+(\\d+)/)[1]) / 1024;
        using checkpoint = await Checkpoint.open(${JSON.stringify(source)});
        const before = await peak();
        const bytes = new Uint8Array(2 * ${columns} * ${dtype === "F32" ? 4 : 2}).fill(63);
        const rows = Int32Array.of(7, ${rows - 1});
        await rewriteCheckpoint(checkpoint, ${JSON.stringify(target)}, new Map([[${JSON.stringify(matrix)},
          { dtype: "${dtype}", rows, bytes }]]));
        console.log(await peak() - before);`;
      const path = join(folder.path, "copy.ts");
      await Deno.writeTextFile(path, script);
      const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "--allow-all", "--config", config, path], // /proc asks for everything
      }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
      assertLess(Number(new TextDecoder().decode(stdout)), 128, `${dtype}: MiB above the start`);
      using copied = await Checkpoint.open(target);
      const info = copied.tensor(matrix)!;
      assertEquals([info.dtype, info.shape], [dtype, [rows, columns]]);
      for (const row of [6, 7, 8, rows - 2, rows - 1]) {
        const raw = await copied.readRaw(info, row * columns, columns);
        assert(raw.every((byte) => byte === (row === 7 || row === rows - 1 ? 63 : 0)), `row ${row}`);
      }
      await Deno.remove(target, { recursive: true });
    }
  },
});
