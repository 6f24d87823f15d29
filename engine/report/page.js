// The script of a report: sorting, the map's cells, the two browsers, and all of their state in the address.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

/** An element with properties and children; text among the children is text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

// State: what a reader chose, by name; the address after # holds it.
const state = new Map();
const listeners = [];

/** Calls `apply` now and whenever the state was read from the address anew. */
function onState(apply) {
  listeners.push(apply);
}

function set(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === undefined) state.delete(name);
    else state.set(name, String(value));
  }
  const text = new URLSearchParams([...state]).toString();
  history.replaceState(null, "", text === "" ? location.pathname + location.search : `#${text}`);
}

function readAddress() {
  const text = location.hash.slice(1);
  if (text !== "" && !text.includes("=")) {
    // A link to a part: it joins the state, so that the address keeps both.
    set({ at: text });
    return;
  }
  state.clear();
  for (const [name, value] of new URLSearchParams(text)) state.set(name, value);
  for (const apply of listeners) apply();
  if (state.has("at")) byId(state.get("at"))?.scrollIntoView();
}

// Tables.
function sortTable(table, column, descending) {
  const value = (row) => row.cells[column].dataset.value;
  const number = (row) => value(row) === "NaN" ? -Infinity : Number(value(row));
  const words = table.tHead.rows[0].cells[column].classList.contains("words");
  const sign = descending ? -1 : 1;
  const order = words
    ? (a, b) => sign * value(a).localeCompare(value(b), "en", { numeric: true })
    : (a, b) => sign * (number(a) - number(b)) || 0;
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  const key = `sort_${table.id}`;
  [...table.tHead.rows[0].cells].forEach((cell, i) => {
    const button = make("button", { type: "button" }, ...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const descending = cell.getAttribute("aria-sort") !== "descending";
      sortTable(table, i, descending);
      set({ [key]: `${i}${descending ? "d" : "a"}` });
    });
  });
  onState(() => {
    const [, column, way] = state.get(key)?.match(/^(\d+)([ad])$/) ?? [];
    if (column !== undefined && Number(column) < table.tHead.rows[0].cells.length) {
      sortTable(table, Number(column), way === "d");
    }
  });
}

// The map of the circuit.
const componentNames = { q: "q-head", k: "k-head", v: "v-head", mlp: "neuron" };

function setUpMap() {
  const { columns, layers, cell_width, row_height, top, width } = data.map;
  const map = byId("map");
  const svg = map.querySelector("svg");
  const radios = [...document.querySelectorAll("input[name=measure]")];

  function shade(measure) {
    for (const part of map.querySelectorAll("[data-measure]")) {
      part.toggleAttribute("hidden", part.dataset.measure !== measure);
    }
    for (const radio of radios) radio.checked = radio.value === measure;
  }

  function showCell(layer, column) {
    const { kind, from, to, x } = columns[column];
    byId("cursor").setAttribute("x", x);
    byId("cursor").setAttribute("y", top + layer * row_height);
    const own = data.components.filter(([l, k, n]) => l === layer && k === kind && n >= from && n < to);
    const name = (n) => `layer ${layer} ${componentNames[kind]} ${n}`;
    const cells = (tag, values) => values.map((value) => make(tag, {}, value === null ? "" : String(value)));
    const title = to - from === 1 ? name(from) : `layer ${layer} neurons ${from} to ${to - 1}`;
    const rows = own.map(([, , n, mask, gradient, change]) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, name(n)),
        ...cells("td", [
          mask === null ? "" : mask > 0.5 ? "yes" : "no",
          mask,
          gradient,
          change,
        ]),
      )
    );
    const head = ["component", "in the circuit", "mask", "norm of gradient", "norm of change"];
    const missing = to - from - own.length;
    byId("cell").replaceChildren(
      make("h3", {}, title),
      rows.length > 0
        ? make(
          "div",
          { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "components of the cell" },
          make(
            "table",
            {},
            make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
            make("tbody", {}, ...rows),
          ),
        )
        : "",
      missing > 0
        ? make(
          "p",
          { className: "quiet" },
          `${missing} more are not listed: those of the circuit come first, then those with the most gradient.`,
        )
        : "",
    );
    current = [layer, column];
  }

  let current = [0, 0];
  const choose = (layer, column) => {
    showCell(layer, column);
    set({ cell: `${layer}.${column}` });
  };
  for (const radio of radios) {
    radio.addEventListener("change", () => {
      shade(radio.value);
      set({ measure: radio.value });
    });
  }
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const layer = Math.floor((y - top) / row_height);
    const column = columns.findIndex((one) => x >= one.x && x < one.x + cell_width);
    if (layer >= 0 && layer < layers && column >= 0) choose(layer, column);
  });
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  map.querySelector(".plot").addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    const started = state.has("cell");
    const within = (value, count) => Math.min(count - 1, Math.max(0, value));
    choose(
      within(current[0] + (started ? move[0] : 0), layers),
      within(current[1] + (started ? move[1] : 0), columns.length),
    );
  });
  onState(() => {
    if (radios.some(({ value }) => value === state.get("measure"))) shade(state.get("measure"));
    const [layer, column] = (state.get("cell") ?? "").split(".").map(Number);
    if (layer < layers && column < columns.length) showCell(layer, column);
  });
}
if (data.map && byId("map")) setUpMap();

/** Fields of a form and the state by the fields' names, kept alike; `changed` is called when a field changes. */
function bindForm(form, changed) {
  const fields = [...form.elements].filter(({ name, tagName }) => name && tagName !== "OUTPUT");
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const field of fields) {
    field.addEventListener("input", () => {
      const first = field.tagName === "SELECT" && field.selectedIndex === 0;
      set({ [field.name]: first ? "" : field.value });
      changed();
    });
  }
  return () => {
    for (const field of fields) {
      const value = state.get(field.name);
      if (field.tagName !== "SELECT") field.value = value ?? "";
      else {
        const index = [...field.options].findIndex((option) => option.value === value);
        field.selectedIndex = Math.max(0, index);
      }
    }
  };
}

const holds = (text, search) => text.toLowerCase().includes(search.toLowerCase());

// Pivots.
const pivotFilters = {
  all: () => true,
  won: ({ desired, undesired }) => desired.base <= undesired.base && desired.amplified > undesired.amplified,
  lost: ({ desired, undesired }) => desired.base > undesired.base && desired.amplified <= undesired.amplified,
  wrong: ({ desired, undesired }) =>
    desired.base <= undesired.base && desired.amplified <= undesired.amplified,
  "greedy-wrong": ({ greedy_correct }) => !greedy_correct,
};
/** A token with what cannot be seen in it made visible. */
const visible = (text) => text.replaceAll("\n", "⏎\n").replaceAll("\t", "⇥") || "∅";

function share(name, value) {
  if (value === undefined) return undefined;
  const bar = make("i");
  bar.style.width = `${100 * value}%`;
  const text = 100 * value >= 0.1 || value === 0 ? `${(100 * value).toFixed(1)} %` : "< 0.1 %";
  return make(
    "div",
    { className: "share" },
    make("span", {}, name),
    make("span", {}, bar),
    make("b", {}, text),
  );
}

function setUpPivots() {
  const form = byId("pivot-form");
  const { pivots, pivot_template, pivot_q, place } = form.elements;
  let matching = [];
  let at = 0;

  /** A trace with its pivotal token marked. */
  function marked(trace, at, token) {
    if (at === undefined) return make("p", { className: "quiet" }, trace.trim());
    const end = at + token.length;
    const [before, after] = [trace.slice(0, at).trimStart(), trace.slice(end).trimEnd()];
    return make("p", { className: "quiet" }, before, make("mark", {}, trace.slice(at, end)), after);
  }

  function side(name, className, { text, base, amplified, trace, at }) {
    return make(
      "div",
      { className: `side ${className}` },
      make("h4", {}, `${name}: “${visible(text)}”`),
      share("before", base),
      share("after", amplified),
      trace === undefined ? undefined : marked(trace, at, text),
    );
  }

  function show() {
    place.value = matching.length > 0 ? `${at + 1} of ${matching.length}` : "none";
    const index = matching[at];
    if (index === undefined) {
      byId("pivot").replaceChildren(make("p", {}, "No pivot matches."));
      return;
    }
    const pivot = data.pivots[index];
    const strip = make("p", { className: "tokens" });
    if (pivot.omitted > 0) strip.append(`… ${pivot.omitted} tokens before … `);
    for (const token of pivot.tokens) strip.append(make("span", {}, visible(token)));
    strip.append(make("span", { className: "fork" }, "?"));
    byId("pivot").replaceChildren(
      make("h3", {}, `template ${pivot.template_id}, instance ${pivot.instance_id}`),
      strip,
      make(
        "div",
        { className: "two" },
        side("desired", "is-right", pivot.desired),
        side("undesired", "is-wrong", pivot.undesired),
      ),
    );
  }

  function filter() {
    const fits = pivotFilters[pivots.value];
    matching = data.pivots.flatMap((pivot, index) => {
      const { template_id, tokens, desired, undesired } = pivot;
      if (!fits(pivot) || pivot_template.value !== "" && template_id !== pivot_template.value) return [];
      const text = [...tokens, "\n", desired.text, "\n", undesired.text].join("");
      return holds(text, pivot_q.value) ? [index] : [];
    });
  }

  function step(by) {
    if (matching.length === 0) return;
    at = (at + by + matching.length) % matching.length;
    set({ pivot: matching[at] });
    show();
  }

  const fill = bindForm(form, () => {
    filter();
    at = 0;
    set({ pivot: matching[0] });
    show();
  });
  for (const button of form.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  onState(() => {
    fill();
    filter();
    at = Math.max(0, matching.indexOf(Number(state.get("pivot") ?? -1)));
    show();
  });
}
if (data.pivots && byId("pivot-form")) setUpPivots();

// Answers.
const answerFilters = {
  flipped: ({ base, amplified }) => base.correct !== amplified.correct,
  positive: ({ base, amplified }) => !base.correct && amplified.correct,
  negative: ({ base, amplified }) => base.correct && !amplified.correct,
  changed: ({ base, amplified }) => base.text !== amplified.text,
  right: ({ base, amplified }) => base.correct && amplified.correct,
  wrong: ({ base, amplified }) => !base.correct && !amplified.correct,
  all: () => true,
};

function setUpAnswers() {
  const form = byId("answer-form");
  const { answers, answer_template, answer_q, count } = form.elements;
  const more = byId("more-answers");
  const perPage = 20;
  let matching = [];
  let shown = 0;

  const side = (name, { text, correct }) =>
    make(
      "div",
      { className: `side ${correct ? "is-right" : "is-wrong"}` },
      make("h4", {}, `${name}: ${correct ? "✓ right" : "✗ wrong"}`),
      make("p", {}, text.trim() === "" ? "(nothing)" : text.trim()),
    );

  function card({ template_id, instance_id, question, answer, base, amplified }) {
    const what = base.correct === amplified.correct
      ? ""
      : amplified.correct
      ? ": became right"
      : ": became wrong";
    return make(
      "article",
      {},
      make("h3", {}, `template ${template_id}, instance ${instance_id}${what}`),
      make("p", {}, question),
      make("p", { className: "quiet" }, `Reference: ${answer}`),
      make("div", { className: "two" }, side("before", base), side("after", amplified)),
    );
  }

  function showMore() {
    byId("answer-list").append(...matching.slice(shown, shown + perPage).map(card));
    shown = Math.min(matching.length, shown + perPage);
    more.hidden = shown === matching.length;
    count.value = `${matching.length} ${matching.length === 1 ? "answer" : "answers"}`;
  }

  function show() {
    const fits = answerFilters[answers.value];
    matching = data.answers.filter((item) =>
      fits(item) && (answer_template.value === "" || item.template_id === answer_template.value) &&
      holds([item.question, item.answer, item.base.text, item.amplified.text].join("\n"), answer_q.value)
    );
    shown = 0;
    byId("answer-list").replaceChildren();
    showMore();
  }

  const fill = bindForm(form, show);
  more.addEventListener("click", showMore);
  onState(() => {
    fill();
    show();
  });
}
if (data.answers && byId("answer-form")) setUpAnswers();

addEventListener("hashchange", readAddress);
readAddress();
for (const apply of listeners) apply();
