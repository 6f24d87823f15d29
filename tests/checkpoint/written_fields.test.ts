/** Settings files for other programs: the table of their fields, how it is shown, and what is written by it. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { writtenFields, writtenText } from "../../engine/checkpoint/written_fields.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The table as README.md shows it. */
function shown(): string {
  const rows = Object.entries(writtenFields).flatMap(([file, fields]) =>
    Object.entries(fields).map(([field, type]) => `| \`${file}\` | \`${field}\` | ${type} |`)
  );
  return ["| file | field | type |", "|---|---|---|", ...rows].join("\n");
}

Deno.test("README.md of the room shows the table of fields (UPDATE_TABLES=1 writes it)", async () => {
  const path = join(root, "engine/checkpoint/README.md");
  const text = await Deno.readTextFile(path);
  const whole = text.replace(/(?<=<!-- fields -->\n)[^]*(?=<!-- \/fields -->)/, `${shown()}\n`);
  if (Deno.env.get("UPDATE_TABLES")) await Deno.writeTextFile(path, whole);
  else assertEquals(text, whole);
});

Deno.test("the embedded models hold only fields of the table, floats spelled as floats", async () => {
  for (const model of ["gemma2-mini", "olmo2-mini"]) {
    for (const file of ["config.json", "generation_config.json", "tokenizer_config.json"]) {
      const text = await Deno.readTextFile(join(root, "fixtures", model, file));
      assertEquals(text, writtenText(file, JSON.parse(text)), `${model}/${file}`);
    }
  }
  assertStringIncludes(
    await Deno.readTextFile(join(root, "fixtures/gemma2-mini/config.json")),
    '"final_logit_softcapping": 30.0,',
  );
});

Deno.test("a field that is unknown or of another type is not written", () => {
  assertThrows(() => writtenText("config.json", { hidden_sise: 8 }), RangeError, '"hidden_sise"');
  assertThrows(() => writtenText("config.json", { hidden_size: 8.5 }), RangeError, "is no int");
  assertThrows(() => writtenText("config.json", { rope_theta: "1e4" }), RangeError, "is no float");
  assertEquals(
    writtenText("config.json", { rms_norm_eps: 1, rope_theta: 1e-7 }),
    '{\n  "rms_norm_eps": 1.0,\n  "rope_theta": 1e-7\n}\n',
  );
});
