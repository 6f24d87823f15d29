/** Scales of plots: values within, ends on ticks, ticks that people count in. */
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { linearScale, logScale } from "../../engine/report/scale.ts";
import { duration, likelihood, percent, points, short, whole } from "../../engine/report/numbers.ts";

Deno.test("a linear scale ends on ticks and holds all values and what it is to include", () => {
  const { at, ticks, middle } = linearScale([0.03, 0.055], [10, 110], { include: [0] });
  assertEquals(ticks, [0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06]);
  assertAlmostEquals(at(0), 10, 1e-9);
  assertAlmostEquals(at(0.06), 110, 1e-9);
  assertEquals(middle, 60);
  for (const values of [[], [3], [0, 0], [-2e-9, 5e12], [NaN, 1]]) {
    const scale = linearScale(values, [0, 100]);
    assert(scale.ticks.length >= 2 && scale.ticks.every(Number.isFinite), values.join());
    for (const value of values.filter(Number.isFinite)) {
      assert(scale.at(value) >= -1e-6 && scale.at(value) <= 100 + 1e-6, `${value}`);
    }
  }
});

Deno.test("a logarithmic scale has ticks however narrow or wide its values lie", () => {
  for (const values of [[0.03], [0.02, 0.03], [1e-5, 1], [0, 0.5], []]) {
    const { at, ticks } = logScale(values, [0, 100]);
    assert(ticks.length >= 2 && ticks.length <= 12, `${values}: ${ticks}`);
    for (const place of [...values.filter((value) => value > 0), ...ticks].map(at)) {
      assert(place >= 0 && place <= 100, `${values}: ${ticks}`);
    }
  }
});

Deno.test("numbers are written as people read them", () => {
  assertEquals([percent(0.6458), percent(NaN)], ["64.6 %", "none"]);
  assertEquals([points(0.0461), points(-0.002), points(-0.0001)], ["+4.6", "−0.2", "0.0"]);
  assertEquals([short(0.058931), short(-10), short(0.000027), short(NaN)], [
    "0.0589",
    "−10",
    "2.7e−5",
    "none",
  ]);
  assertEquals([whole(999), whole(84352)], ["999", "84\u202f352"]);
  assertEquals([likelihood(0), likelihood(1e-5), likelihood(0.5)], ["0.0 %", "< 0.1 %", "50.0 %"]);
  assertEquals([duration(2.34), duration(201), duration(7500)], ["2.3 s", "3 min 21 s", "2 h 5 min"]);
});
