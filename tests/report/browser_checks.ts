/**
 * Reports in a real browser: Debian's chromium (CHROMIUM names another), in light and dark, on a desk and on a phone, with and
 * without scripts, with the keyboard alone, and on paper.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import axe from "npm:axe-core@4.14.1";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "npm:playwright-core@1.65.1";
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { writeComparison, writeReport } from "../../engine/report/write_report.ts";
import { type TemporaryFolder, temporaryFolder } from "../model/model_fixture.ts";
import { hostile, summary, writeRunFolder } from "./run_folder_fixture.ts";

const executablePath = Deno.env.get("CHROMIUM") ?? "/usr/bin/chromium";

let work: TemporaryFolder;
let browser: Browser;
let report: string;
let comparison: string;

function browserTest(name: string, fn: () => Promise<void>) {
  // The browser outlives each test.
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

Deno.test.beforeAll(async () => {
  work = await temporaryFolder();
  for (const [name, seed] of [["one", 1], ["two", 2]] as const) {
    await writeRunFolder(join(work.path, name), { seed });
  }
  report = pathToFileURL(await writeReport(join(work.path, "one"))).href;
  const both = ["one", "two"].map((name) => join(work.path, name));
  comparison = pathToFileURL(await writeComparison(both, join(work.path, "comparison.html"))).href;
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
});
Deno.test.afterAll(async () => {
  await browser.close();
  await work[Symbol.asyncDispose]();
});

/** Opens an address; what a page must never do is collected in `faults`. */
async function open(address: string, options: BrowserContextOptions = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("console", (message) => faults.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    if (request.url() !== address.replace(/#.*/, "")) faults.push(`request of ${request.url()}`);
  });
  await page.goto(address);
  return { page, faults, [Symbol.asyncDispose]: () => context.close() };
}

const hash = (page: Page) => new URL(page.url()).hash;
const articles = (page: Page) => page.locator("#answer-list article").count();

browserTest("a report logs nothing, requests nothing, and runs nothing that a completion says", async () => {
  for (const address of [report, comparison]) {
    await using opened = await open(address);
    const { page, faults } = opened;
    assertEquals(faults, []);
    assertStringIncludes(await page.title(), "Circuit Amp");
    if (address === report) assertStringIncludes(await page.locator("#answer-list").innerText(), hostile);
  }
});

browserTest("answers are filtered, searched, and the address brings the choice back", async () => {
  await using opened = await open(report);
  const { page, faults } = opened;
  assertEquals(await articles(page), 3);
  await page.selectOption("[name=answers]", "negative");
  assertEquals(await articles(page), 1);
  assertStringIncludes(await page.locator("#answer-list").innerText(), "Question 2?");
  await page.selectOption("[name=answers]", "all");
  assertEquals(await articles(page), 4);
  await page.selectOption("[name=answer_template]", "1");
  assertEquals(await articles(page), 2);
  await page.fill("[name=answer_q]", "question 3");
  assertEquals(await articles(page), 1);
  assertEquals(hash(page), "#answers=all&answer_template=1&answer_q=question+3");
  await page.reload();
  assertEquals(await articles(page), 1);
  assertEquals(await page.inputValue("[name=answers]"), "all");
  await page.fill("[name=answer_q]", "no such text");
  assertEquals(await page.locator("[name=count]").innerText(), "0 answers");
  assertEquals(faults, []);
});

browserTest("tables sort by number and by name, and say by which column", async () => {
  await using opened = await open(report);
  const { page } = opened;
  const names = () => page.locator("#arms tbody th").allInnerTexts();
  const gain = page.locator("#arms thead th", { hasText: "gain in points" });
  await gain.getByRole("button").click();
  assertEquals(await names(), ["random-2", "circuit", "random", "inverted", "unchanged model"]);
  assertEquals(await gain.getAttribute("aria-sort"), "descending");
  await gain.getByRole("button").click();
  assertEquals((await names())[1], "inverted");
  await page.locator("#arms thead th").first().getByRole("button").click();
  assertEquals((await names())[0], "unchanged model");
  assertEquals(await gain.getAttribute("aria-sort"), null);
  await page.reload();
  assertEquals((await names())[0], "unchanged model");
});

browserTest("cells of the map list their components, by mouse and by arrow keys", async () => {
  await using opened = await open(report);
  const { page, faults } = opened;
  const cell = page.locator("#cell");
  const box = (await page.locator("#map svg").boundingBox())!;
  const { columns, cell_width, row_height, top } = JSON.parse(await page.locator("#data").innerText()).map;
  await page.locator("#map svg").scrollIntoViewIfNeeded();
  await page.locator("#map svg").click({
    position: { x: columns[1].x + cell_width / 2, y: top + 1.5 * row_height },
  });
  assertGreater(box.width, 0);
  assertEquals(await cell.locator("h3").innerText(), "layer 1 q-head 1");
  assertEquals(await cell.locator("tbody td").allInnerTexts(), ["yes", "1", "1", "5"]);
  await page.locator("#map .plot").focus();
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowLeft");
  assertEquals(await cell.locator("h3").innerText(), "layer 0 q-head 0");
  for (let i = 0; i < 60; i++) await page.keyboard.press("ArrowRight");
  assertEquals(await cell.locator("h3").innerText(), "layer 0 neuron 59");
  const shown = () => page.locator("g.measure:not([hidden])").getAttribute("data-measure");
  assertEquals(await shown(), "mask");
  await page.getByLabel("gradient").check();
  assertEquals(await shown(), "gradient");
  await page.reload();
  assertEquals(await shown(), "gradient");
  assertEquals(await cell.locator("h3").innerText(), "layer 0 neuron 59");
  assertEquals(faults, []);
});

browserTest("pivots are stepped through and filtered by what the update did to them", async () => {
  await using opened = await open(report);
  const { page } = opened;
  const pivot = page.locator("#pivot");
  assertStringIncludes(await pivot.innerText(), "template 0, instance 0");
  assertStringIncludes(await pivot.innerText(), "70.0 %");
  await page.getByRole("button", { name: "next" }).click();
  assertStringIncludes(await pivot.innerText(), "template 1, instance 2");
  assertStringIncludes(await pivot.innerText(), "… 10 tokens before …");
  await page.selectOption("[name=pivots]", "won");
  assertStringIncludes(await pivot.innerText(), "template 0, instance 0");
  assertEquals(await page.locator("[name=place]").innerText(), "1 of 1");
  await page.selectOption("[name=pivots]", "lost");
  assertEquals(await pivot.innerText(), "No pivot matches.");
});

browserTest("a link to a part and what was chosen share the address", async () => {
  await using opened = await open(`${report}#answers=negative`);
  const { page } = opened;
  await page.getByRole("navigation").getByRole("link", { name: "Templates" }).click();
  assertEquals(hash(page), "#answers=negative&at=by-template");
  await page.reload();
  assertEquals(await articles(page), 1);
  await page.waitForFunction(
    "document.getElementById('by-template').getBoundingClientRect().top < innerHeight",
  );
});

browserTest("contrast, names and roles hold in light and dark, wide and narrow", async () => {
  for (const address of [`${report}#cell=1.1`, comparison]) {
    for (const colorScheme of ["light", "dark"] as const) {
      for (const width of [360, 1280]) {
        await using opened = await open(address, { colorScheme, viewport: { width, height: 800 } });
        const { page } = opened;
        await page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true");
        await page.evaluate(axe.source);
        const { violations } = await page.evaluate("axe.run()") as axe.AxeResults;
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
        assertEquals(found, [], `${address} ${colorScheme} ${width}`);
      }
    }
  }
});

browserTest("no page is wider than a phone or a desk", async () => {
  for (const address of [`${report}#cell=1.30`, comparison]) {
    for (const width of [360, 768, 1280]) {
      await using opened = await open(address, { viewport: { width, height: 800 } });
      const wide = await opened.page.evaluate("document.documentElement.scrollWidth");
      assertEquals(wide, width, `${address} at ${width}`);
    }
  }
});

browserTest("the keyboard alone reaches every control and shows where it is", async () => {
  await using opened = await open(report);
  const { page } = opened;
  const reached: string[] = [];
  for (let i = 0; i < 150; i++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(`(() => {
      const one = document.activeElement;
      if (one === document.body) return null;
      const name = one.name || one.id || one.textContent.trim().slice(0, 30);
      return [(one.closest("section")?.id ?? "top") + " " + name, getComputedStyle(one).outlineStyle];
    })()`) as [string, string] | null;
    if (!focused) break; // past the last control
    const [place, outline] = focused;
    assert(outline !== "none", place);
    reached.push(place);
  }
  for (
    const place of [
      "table arm",
      "circuit measure",
      "pivots pivots",
      "pivots next",
      "answers answers",
      "answers answer_q",
    ]
  ) {
    assert(reached.includes(place), `${place} in ${reached.join("; ")}`);
  }
});

browserTest(
  "without scripts the first three parts are whole, and the others say what they lack",
  async () => {
    await using opened = await open(report, { javaScriptEnabled: false });
    const { page, faults } = opened;
    assertStringIncludes(await page.locator("#verdict").innerText(), summary.verdict[0]!);
    assertEquals(await page.locator("#arms tbody tr").count(), 5);
    assertEquals(await page.locator("#draws svg").count(), 2);
    assertStringIncludes(await page.locator("#pivots").innerText(), "needs scripts");
    assertEquals(faults, []);
  },
);

browserTest("on paper it is dark on white, whatever the screen is", async () => {
  await using opened = await open(report, { colorScheme: "dark" });
  const { page } = opened;
  const back = () => page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
  assertEquals(await back(), "rgb(21, 23, 26)");
  await page.emulateMedia({ media: "print" });
  assertEquals(await back(), "rgb(255, 255, 255)");
  assertEquals(await page.locator("nav").isVisible(), false);
  await page.setViewportSize({ width: 700, height: 1000 });
  const widest = await page.evaluate(
    "Math.max(...[...document.querySelectorAll('svg, table')].map((one) => one.getBoundingClientRect().right))",
  );
  assert(widest as number <= 700, `${widest}`);
  const pdf = await page.pdf({ format: "A4" });
  assertGreater(new TextDecoder("latin1").decode(pdf).match(/\/Type \/Page\b/g)?.length ?? 0, 1);
});
