/** Traces token by token, against the model's own logits. */
import { assert, assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { parse } from "npm:parse5@8.1.1";
import { InputError } from "../../engine/errors.ts";
import { Model } from "../../engine/model/model.ts";
import { traceTokens } from "../../engine/model/token_trace.ts";
import { tracePage } from "../../engine/report/trace_page.ts";
import { gpuTest } from "../ops/gpu_fixture.ts";
import { embeddedModel } from "./model_fixture.ts";

const text = "Q: Kim has 24 cups. Kim buys 17 more. How many cups does Kim have?\nA: 24 + 17 =";

gpuTest("probabilities, ranks and expectations are those of the model's logits", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const ids = model.tokenizer.encode(text);
  const { vocabSize: V, layers } = model.config;
  const { depths, tokens } = await traceTokens(model, ids, { top: 3 });
  const { logits } = await model.run(ids);
  assertEquals(depths.length, layers + 1);
  assertEquals(tokens.map(({ id }) => id), ids);
  assertEquals(tokens.slice(1).map(({ text }) => text).join(""), text);
  assertEquals([tokens[0]!.probability, tokens[0]!.rank], [null, null]);
  tokens.forEach(({ expected, lens }, t) => {
    const own = logits.subarray(t * V, (t + 1) * V);
    const total = own.reduce((sum, logit) => sum + Math.exp(logit), 0);
    const sorted = [...own.keys()].sort((a, b) => own[b]! - own[a]!);
    expected.forEach(({ probability }, i) =>
      assertAlmostEquals(probability, Math.exp(own[sorted[i]!]!) / total, 1e-5)
    );
    assertEquals(lens.at(-1)!.text, expected[0]!.text);
    const next = tokens[t + 1];
    if (next) {
      assertAlmostEquals(next.probability!, Math.exp(own[ids[t + 1]!]!) / total, 1e-5);
      assertEquals(next.rank! - 1, own.filter((logit) => logit > own[ids[t + 1]!]!).length);
    }
    assertEquals(lens.at(-1)!.next_probability, next?.probability ?? null);
  });
  assertEquals(tokens.at(-1)!.expected[0]!.text, " 4");
});

gpuTest("a lens reads the residual stream with the final norm and the unembedding", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const ids = model.tokenizer.encode(text);
  const site = `layers.${model.config.layers - 1}.residual_after` as const;
  const { logits, captured } = await model.run(ids, { capture: [{ site }] });
  const read = await model.unembed(captured.get(site)!);
  assertEquals(read.length, logits.length);
  read.forEach((value, i) => assertAlmostEquals(value, logits[i]!, 1e-4));
  await assertRejects(() => model.unembed(new Float32Array(3)), InputError, "values each");
});

gpuTest("the end of a text is traced as in the whole text", async ({ gpu }) => {
  using model = await Model.load(gpu, embeddedModel);
  const ids = model.tokenizer.encode(text);
  const whole = await traceTokens(model, ids);
  const end = await traceTokens(model, ids, { last: 4 });
  assertEquals(end.tokens, whole.tokens.slice(-4));
  await assertRejects(() => traceTokens(model, []), InputError, "no token to trace");
});

Deno.test("a trace's page is well-formed, and its tokens are text", () => {
  const reading = { text: "<b>", probability: 0.9, next_probability: null };
  const token = {
    position: 0,
    id: 1,
    text: "</script>\n",
    probability: null,
    rank: null,
    expected: [{ text: "<i>", probability: 1e-9 }],
    lens: [reading, reading],
  };
  const page = tracePage({ model: "none", depths: ["embedding", "layer 0"], tokens: [token] });
  const faults: string[] = [];
  parse(page, { onParseError: ({ code }) => faults.push(code) });
  assertEquals(faults, []);
  assert(!page.includes("<b>") && page.includes("&lt;b&gt; 90.0 %"));
  assertEquals(page.match(/<\/script>/g)!.length, 2);
});
