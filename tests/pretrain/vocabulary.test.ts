/** The generated tokenizer: read by the library, closed over every generated text, and the same as in the fixtures. */
import { join } from "node:path";
import { assertEquals, assertGreater } from "@std/assert";
import { Tokenizer } from "../../engine/model/tokenizer.ts";
import { ExerciseStream, kinds, makeDataSets, promptOf } from "../../engine/pretrain/exercises.ts";
import {
  bosToken,
  eosToken,
  makeVocabulary,
  padToken,
  tokenizerConfig,
  tokenizerJson,
} from "../../engine/pretrain/vocabulary.ts";
import { temporaryFolder } from "../model/model_fixture.ts";

const vocabulary = makeVocabulary();

async function tokenizer(): Promise<Tokenizer> {
  await using folder = await temporaryFolder();
  const write = (name: string, value: unknown) =>
    Deno.writeTextFile(join(folder.path, name), JSON.stringify(value));
  await write("tokenizer.json", tokenizerJson(vocabulary));
  await write("tokenizer_config.json", tokenizerConfig);
  return await Tokenizer.load(folder.path);
}

Deno.test("every generated text round-trips without an unknown token, and every token occurs in one", async () => {
  const tokens = await tokenizer();
  const stream = new ExerciseStream(11, makeDataSets(0));
  const exercises = Array.from({ length: 400 }, (_, b) => stream.batch(b, 64)).flat()
    .map((exercise) => promptOf(exercise) + exercise.completion);
  const sets = [0, 1, 2].flatMap((seed) => {
    const made = makeDataSets(seed);
    return kinds.flatMap((kind) =>
      made[kind].map(({ question, answer }) => `${promptOf({ question })} ${answer.split("\n")[0]}`)
    );
  });
  const used = new Set<number>();
  for (const text of [...exercises, ...sets]) {
    const ids = tokens.encode(text);
    assertEquals(ids[0], bosToken);
    assertEquals(tokens.decode(ids.slice(1)), text);
    ids.forEach((id) => used.add(id));
  }
  const unused = vocabulary.filter((_, id) => !used.has(id));
  assertEquals(unused, ["<pad>", "<eos>", "<unk>", " 0"]); // no number begins with 0
});

Deno.test("a word the generator does not know becomes the unknown token", async () => {
  assertEquals((await tokenizer()).encode("Q: Zebra"), [
    bosToken,
    vocabulary.indexOf("Q"),
    vocabulary.indexOf(":"),
    3,
  ]);
});

Deno.test("special tokens have the ids that config.json names, and no piece is listed twice", () => {
  assertEquals([vocabulary[padToken], vocabulary[bosToken], vocabulary[eosToken]], [
    "<pad>",
    "<bos>",
    "<eos>",
  ]);
  assertEquals(new Set(vocabulary).size, vocabulary.length);
  assertGreater(vocabulary.length, 150);
});
