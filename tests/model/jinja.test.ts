/** Templates as Python's Jinja2 renders them, and what a template may not do. Expected texts are Jinja2's own. */
import { assertEquals, assertThrows } from "@std/assert";
import { fixedDate, parseTemplate, renderTemplate } from "../../engine/model/jinja.ts";
import { strftime } from "../../engine/model/strftime.ts";

const render = (template: string, variables: Record<string, unknown> = {}) =>
  renderTemplate(parseTemplate(template), variables);

Deno.test("characters are stripped as asked, white space where nothing is asked", () => {
  const cases: [string, string][] = [
    ["{{ '?what?!'.strip('?') }}", "what?!"],
    ["{{ '?what?!'.strip('!?') }}", "what"],
    ["{{ 'xxaxx'.lstrip('x') }}|{{ 'xxaxx'.rstrip('x') }}", "axx|xxa"],
    ["{{ '?a?' | trim('?') }}", "a"],
    ["{{ ' a '.strip() }}|{{ ' a ' | trim }}|{{ ' a '.rstrip() }}", "a|a| a"],
    ["{{ ('<' + m + '>').strip('<>') }}", "m"],
    ["{{ 'a😀😀'.strip('😀') }}", "a"],
  ];
  for (const [template, expected] of cases) assertEquals(render(template, { m: "m" }), expected, template);
});

Deno.test("break and continue keep what the iteration has written", () => {
  const cases: [string, string][] = [
    ["{% for i in range(5) %}{{ i }}{% if i == 2 %}!{% break %}{% endif %},{% endfor %}", "0,1,2!"],
    ["{% for i in range(4) %}{{ i }}{% if i % 2 %}{% continue %}{% endif %},{% endfor %}", "0,12,3"],
    ["{% for i in range(2) %}{% for j in range(3) %}{{ j }}{% break %}{% endfor %};{% endfor %}", "0;0;"],
    ["{% for i in range(2) %}a{% continue %}{% else %}none{% endfor %}", "aanone"],
    ["{% for i in [] %}a{% else %}none{% endfor %}", "none"],
    [
      "{% for i in range(3) %}{% if i == 1 %}x{% if true %}y{% break %}{% endif %}{% endif %}{{ i }}{% endfor %}",
      "0xy",
    ],
  ];
  for (const [template, expected] of cases) assertEquals(render(template), expected, template);
});

Deno.test("a date comes in the form that is asked for, and is the same on every day", () => {
  assertEquals(render('{{ strftime_now("%d %b %Y") }}'), "26 Jul 2024");
  assertEquals(render('{{ strftime_now("%Y-%m-%d") }}'), "2024-07-26");
  assertEquals(render('{{ strftime_now("%A, %B %-d, %Y %I:%M %p") }}'), "Friday, July 26, 2024 12:00 AM");
  assertEquals(strftime(fixedDate, "%j %U %W %V %G %u %w %y %e %% %Q"), "208 29 30 30 2024 5 5 24 26 % %Q");
  assertEquals(
    strftime(new Date("2021-01-03T14:05:09Z"), "%c|%x %X|%G-W%V|%-I%P"),
    "Sun Jan  3 14:05:09 2021|01/03/21 14:05:09|2020-W53|2pm",
  );
});

Deno.test("a template that does too much ends in an error, soon", () => {
  const hostile: [string, RegExp][] = [
    ["{% for i in range(10 ** 9) %}{% endfor %}", /./],
    ["{% for i in range(1000000000) %}{% endfor %}", /range\(\) of 1000000000 items is too long/],
    [
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      /too many steps|too long/,
    ],
    ["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", /nests too deeply/],
    [
      `{% set ns = namespace(s="aaaaaaaaaaaaaaaa") %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`,
      /writes too much/,
    ],
    ["{% for i in range(99999) %}{{ 'a' * 1 }}{{ messages }}{% endfor %}", /./],
    [`${"{% if true %}".repeat(20000)}`, /./],
  ];
  for (const [template, reason] of hostile) {
    const started = performance.now();
    assertThrows(() => render(template, { messages: "m".repeat(10_000) }), Error);
    try {
      render(template, { messages: "m".repeat(10_000) });
    } catch (error) {
      if (!reason.test((error as Error).message)) throw error;
    }
    const seconds = (performance.now() - started) / 1000;
    if (seconds > 15) throw new Error(`${template.slice(0, 60)} took ${seconds} s`);
  }
});

Deno.test("a template sees its variables and nothing else", () => {
  for (const name of ["Deno", "globalThis", "constructor", "process", "self", "__proto__"]) {
    assertEquals(render(`{{ ${name} is defined }}`), "False", name);
  }
  assertEquals(
    render("{{ x.constructor is defined }}{{ x.__proto__ is defined }}", { x: { a: 1 } }),
    "FalseFalse",
  );
});
