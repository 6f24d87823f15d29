/** The JSON Schema of configuration files accepts what is read without complaint, and nothing that is refused. */
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { z } from "npm:zod@4.6.7";
import { loadCommands } from "../../../cli/commands.ts";
import { InputError } from "../../../engine/errors.ts";
import { readSettingsFile } from "../../../engine/run/settings/file.ts";
import { runDefinitions, runSettings, runSettingsRecord } from "../../../engine/run/settings/run.ts";
import { settingsSchema } from "../../../engine/run/settings/schema.ts";
import { readSettings } from "../../../engine/run/settings/setting.ts";
import { embeddedModel, temporaryFolder } from "../../model/model_fixture.ts";

Deno.test("schema and reader agree on files", async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, "settings.json");
  const schema = z.fromJSONSchema(settingsSchema(runDefinitions, "Settings"));
  const resolved = runSettingsRecord(await runSettings({ model: { source: embeddedModel } }));
  const files: [unknown, boolean][] = [
    [{}, true],
    [{ $schema: "./settings.schema.json", seed: 1 }, true],
    [resolved, true],
    [{ model: "org/name", "mask-rate": 0.1, stop: "Q:", ability: ["a=b"], controls: "none" }, true],
    [{ model: { source: "org/name" }, evaluation: { abilities: { a: "b" } }, controls: ["random"] }, true],
    [{ prompt: { shots: [{ question: "Who?", answer: "1" }] } }, true],
    [{ promt: 1 }, false],
    [{ mask: { rat: 1 } }, false],
    [{ mask: 5 }, false],
    [{ seed: -1 }, false],
    [{ seed: 2 ** 32 }, false],
    [{ "mask-rate": 0 }, false],
    [{ optimizer: "adam" }, false],
    [{ chat: 1 }, false],
    [{ stop: [5] }, false],
    [{ ability: { a: 5 } }, false],
    [{ prompt: { shots: [{ question: "Who?" }] } }, false],
  ];
  for (const [content, good] of files) {
    await Deno.writeTextFile(path, JSON.stringify(content));
    const read = await readSettingsFile(path, runDefinitions).then((source) =>
      readSettings(runDefinitions, [source])
    ).then(() => true, (error) => {
      if (error instanceof InputError) return false;
      throw error;
    });
    assertEquals(
      [read, schema.safeParse(content).success],
      [good, good],
      JSON.stringify(content).slice(0, 200),
    );
  }
});

Deno.test("every command's schema is one that zod can take", async () => {
  for (const { fileSettings, name } of await loadCommands()) {
    assertEquals(
      z.fromJSONSchema(settingsSchema(fileSettings, name)).safeParse({ quiet: true }).success,
      true,
    );
  }
});
