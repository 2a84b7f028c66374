// A run: how it ended, its curves, what went on in its units, and the paper's tables.

function drawTraining() {
  const { run } = facts;
  const pane = byId("training");
  pane.replaceChildren(
    el("h2", {}, "Training"),
    aboutRun(run),
    ...notesOf(run),
    el("div", { class: "charts" }, ...curves(run.curves), ...unitCharts(run.units)),
    ...run.tables.map((table) => paperTable(table, run.columns)),
    ...run.explanation.slice(0, run.tables.length ? undefined : 0).map((text) => el("p", { class: "muted" }, text)),
    el("h3", {}, "Recipe"),
    factList(Object.entries(run.recipe)),
  );
}

function aboutRun({ about, results, failure }) {
  const tested = results.test_error !== undefined && results.test_error !== null;
  return factList([
    ["status", el("span", { class: `status ${about.status}` }, String(about.status), failure ? `: ${failure}` : "")],
    ["test error", tested ? `${results.test_error.toFixed(2)} %` : "–"],
    ["best", results.best_error ? `${results.best_error.toFixed(2)} % at ${whole(results.best_iteration)}` : "–"],
    ["iterations", results.iteration ? whole(results.iteration) : "–"],
    ["data", String(about.data ?? "–")],
    ["seed", String(about.seed ?? "–")],
    ["device", String(about.device ?? "–")],
  ]);
}

function notesOf(run) {
  const notes = [...run.notes];
  const thinned = run.curves.thinned || run.units?.thinned;
  if (thinned) notes.push("Long records are shown thinned out evenly, the last one always.");
  if (!run.units) notes.push("Nothing was recorded in the units: train with --monitor to see where f truncates.");
  return notes.map((text) => el("p", { class: "note-box" }, text));
}

function curves({ iterations, loss, lr, tests, error }) {
  const short = (v) => Number(v.toPrecision(3)).toString();
  return [
    lineChart({ title: "Training loss", xLabel: "iteration", yLabel: "nats", log: true, format: short, lines: [{ name: "loss", x: iterations, y: loss, style: "loss" }] }),
    lineChart({ title: "Test error", xLabel: "iteration", yLabel: "%", format: (v) => `${short(v)}`, lines: [{ name: "test error", x: tests, y: error, style: "error" }] }),
    lineChart({ title: "Learning rate", xLabel: "iteration", yLabel: "", format: short, lines: [{ name: "learning rate", x: iterations, y: lr, style: "rate" }] }),
  ];
}

function unitCharts(units) {
  if (!units) return [];
  const numbers = units.names.map((_, i) => i + 1);
  const named = (i) => units.names[i - 1] ?? String(i);
  const short = (v) => Number(v.toPrecision(3)).toString();
  const last = units.truncated[units.truncated.length - 1];
  const over = (title, yLabel, y, more) => lineChart({ title, xLabel: "unit", yLabel, at: named, lines: [{ name: title.toLowerCase(), x: numbers, y, style: "loss" }], ...more });
  return [
    ...truncation(units),
    over("Truncated, last record", "share of y", last, { format: percent }),
    over("Deviation of the output", "std", units.response, { log: true, format: short }),
    over("Gradient at the output", "norm", units.gradient, { log: true, format: short }),
  ];
}

/** The map over depth and time, where some f cuts at zero. */
function truncation(units) {
  const title = "Truncated by f, over depth and time";
  if (!units.cuts.some(Boolean)) {
    return [el("figure", { class: "chart" }, el("figcaption", {}, el("b", {}, title)), el("p", { class: "muted" }, "The f of these units cuts nothing: it is the identity, or never ends in a cut at zero."))];
  }
  const top = Math.max(0.01, ...units.truncated.flat().filter((v) => v !== null));
  const at = (column, row) => units.truncated[column][row];
  const lastTime = units.iterations[units.iterations.length - 1];
  return [mapChart({
    title, columns: units.iterations.length, rows: units.names.length, top, value: at,
    describe: (column, row) => `${units.names[row]} at iteration ${whole(units.iterations[column])}: ${percent(at(column, row))}`,
    words: `iterations to ${whole(lastTime)} from left to right, ${units.names[0]} at the bottom, ${units.names[units.names.length - 1]} at the top`,
  })];
}

function paperTable(table, columns) {
  const numeric = new Set(["paper", "ours", "iterations", "batch", "seeds"]);
  const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col", class: numeric.has(name) ? "number" : null }, name)));
  const rowsOfTable = table.rows.map(({ cells, own }) => el("tr", { class: own ? "own" : null },
    ...cells.map((cell, i) => el(i ? "td" : "th", { scope: i ? null : "row", class: numeric.has(columns[i]) ? "number" : null }, cell))));
  return el("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": table.title },
    el("table", { class: "paper" }, el("caption", {}, table.title), el("thead", {}, head), el("tbody", {}, ...rowsOfTable)));
}
