// What is chosen, in words and numbers: the network, a site of equal units, or an op.

function showDetails() {
  const pane = byId("details");
  const { site, op } = state;
  const parts = op ? opDetails(site, op) : site ? siteDetails(site) : networkDetails();
  const close = site
    ? el("button", { type: "button", class: "icon close", "aria-label": "Back to the network", title: "Back to the network (Escape)", onclick: clear }, "×")
    : null;
  pane.replaceChildren(...[close, ...parts].filter(Boolean));
  pane.classList.toggle("open", Boolean(site));
  pane.scrollTop = 0;
}

/** Nothing chosen: the network in all. */
function clear() {
  const back = state.site && elementsOf(state.site, state.op)[0];
  Object.assign(state, { site: null, op: null });
  document.querySelectorAll(".chosen").forEach((each) => {
    each.classList.remove("chosen");
    each.removeAttribute("aria-current");
  });
  showPlace(null);
  showDetails();
  remember();
  if (back && byId("details").contains(document.activeElement)) back.focus();
}

function networkDetails() {
  const shown = network();
  if (!shown) return [el("h2", {}, "Findings"), ...findingList(findings())];
  return [
    el("h2", {}, shown.name),
    el("p", { class: "lead" }, shown.title),
    factList([
      ["input", shape(shown.input)],
      ...shown.outputs.map(([name, sides]) => [shown.outputs.length > 1 ? `output ${name}` : "output", shape(sides)]),
      ["units", whole(shown.units)],
      ["ops", whole(shown.ops)],
      ["parameters", orDash(shown.parameters, whole)],
      ["multiply-adds", orDash(shown.multiply_adds, (n) => `${cost(n)} per image`)],
      ["distinct units", whole(new Set(allSites(shown).filter((site) => site.prefix).map((site) => site.unit)).size)],
    ]),
    el("p", { class: "digest" }, shown.digest),
    figure(shown.drawing, `The network ${shown.name}, drawn`, (name) => { const found = located(name); return found && [found.site, found.op]; }),
    el("h3", {}, "Findings"),
    ...findingList(findings()),
  ];
}

/** Findings with the lines that they are about, those to be mended first. */
function findingList(found) {
  const sorted = [...found].sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
  if (!sorted.length) return [el("p", {}, "No findings.")];
  return [el("ul", { class: "found-list" }, ...sorted.map((finding) => {
    const row = findingRow(finding);
    if (finding.place) row.append(el("p", {}, placeLink(finding.place)));
    return el("li", {}, row);
  }))];
}

function siteDetails(site) {
  const unit = site.facts;
  const times = site.count > 1 && unit.parameters ? ` × ${whole(site.count)} = ${whole(unit.parameters * site.count)}` : "";
  return [
    el("h2", {}, unit.name, site.count > 1 ? el("span", { class: "times" }, `×${whole(site.count)}`) : null),
    unit.title ? el("p", { class: "lead" }, unit.title) : null,
    el("p", { class: "where" }, span(site)),
    outerLink(site),
    factList([
      ["arguments", unit.args],
      ...readsRows(site),
      ["gives", shapes(unit.outputs)],
      ["parameters", `${orDash(unit.parameters, whole)}${times}`],
      ["multiply-adds", orDash(unit.multiply_adds, cost)],
      ["kept for the gradient", unit.kept === null ? "–" : `${bytes(unit.kept)} per image`],
      ["line", site.place ? placeLink(site.place) : "–"],
    ]),
    ...section("Findings", findingsAt(site, null), (found) => findingList(found)),
    ...section("Units in it", site.sites, siteList),
    ...codeOf(site, null),
  ];
}

/** Of a unit that another one uses, a way back to that. */
function outerLink(site) {
  if (!site.outer) return null;
  return el("p", {}, "in ", siteLink(site.outer));
}

const siteLink = (site) => el("button", { type: "button", class: "link", onclick: () => choose(site, null, { scroll: true }) }, `${site.facts.name}, ${site.key}`);

function siteList(sites) {
  return [el("ul", {}, ...sites.map((site) => el("li", {}, siteLink(site), site.count > 1 ? ` ×${whole(site.count)}` : "")))];
}

/** The values that the unit reads, and of the first unit of a row where they come from. */
function readsRows(site) {
  const { inputs } = site.facts;
  const row = site.outer?.facts.rows.find((each) => each.name === site.row);
  const from = row && site.outer.sites.find((each) => each.row === site.row) === site ? row.inputs : [];
  return inputs.map(([name, sides], index) => {
    const given = from[index] && from[index] !== name ? ` (${from[index]})` : "";
    return [index ? "" : "reads", inputs.length > 1 ? `${name}${given}  ${shape(sides)}` : `${shape(sides)}${given}`];
  });
}

function opDetails(site, op) {
  const count = countOf(site);
  return [
    el("h2", {}, op.name, el("span", { class: `chip ${op.symbol ? "merges" : op.role}` }, op.kind)),
    el("p", { class: "where" }, fullName(site, op.name),
      count > 1 ? ` and in ${whole(count - 1)} more like it, to ${lastOf(site)}.${op.name}` : ""),
    factList([
      ...op.inputs.map((name, index) => [index ? "" : "reads", `${name}  ${shape(op.in[index])}`]),
      ["gives", shape(op.out)],
      ...op.attributes.map(([name, value]) => [name, value]),
      ["parameters", orDash(op.parameters, whole)],
      ["multiply-adds", orDash(op.multiply_adds, cost)],
      ...keptRows(op),
      ["line", op.place ? placeLink(op.place) : "–"],
    ]),
    ...section("Weights", op.weights, weightTable),
    ...section("Findings", findingsAt(site, op), (found) => findingList(found)),
    ...codeOf(site, op),
    ...section("ONNX", op.onnx, (nodes) => [onnxTable(site, nodes)], network().generated && "No node: its value is its input."),
  ];
}

/** What training keeps of the op, of one image. */
function keptRows(op) {
  const words = { own: "tensors of its own", batch: "statistics of the batch" };
  if (op.parameters === null) return [];
  if (!op.keeps.length) return [["kept for the gradient", "nothing"]];
  return op.keeps.map(([kind, value, size], index) => [
    index ? "" : "kept for the gradient",
    `${value || words[kind]}  ${bytes(size)}${kind === "batch" ? "" : " per image"}`,
  ]);
}

function factList(pairs) {
  return el("dl", {}, ...pairs.filter(([, value]) => value !== "").map(([name, value]) => (
    el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}

function section(title, items, content, otherwise) {
  if (!items.length) return otherwise ? [el("h3", {}, title), el("p", {}, otherwise)] : [];
  return [el("h3", {}, title), ...content(items)];
}

function weightTable(weights) {
  return [el("table", {}, el("tbody", {}, ...weights.map(([name, sides, trained]) => el("tr", {},
    el("th", { scope: "row" }, name),
    el("td", { class: "number" }, sides.length ? shape(sides) : "1"),
    el("td", { class: "muted" }, trained ? "" : "not trained")))))];
}

function onnxTable(site, nodes) {
  return el("table", {}, el("tbody", {}, ...nodes.map(([kind, name]) => el("tr", {},
    el("th", { scope: "row" }, kind), el("td", {}, fullName(site, name))))));
}

// --- the generated source ----------------------------------------------------------------

/** The lines of the generated file for the op, or for all ops of the site's unit. */
function codeOf(site, op) {
  if (!network().generated) return [];
  const { units, ends } = network().lines;
  const found = (site.prefix ? units[site.facts.name] : ends[site.row]) ?? {};
  const spans = op ? found[op.name] ?? [] : Object.values(found).flat();
  const title = el("h3", {}, network().generated);
  if (!spans.length) return [title, el("p", {}, "No line: it changes nothing.")];
  const numbers = [...new Set(spans.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i)))];
  numbers.sort((a, b) => a - b);
  const lines = numbers.flatMap((number, index) => {
    const gap = index && number > numbers[index - 1] + 1;
    const line = el("div", {}, el("span", { class: "at", "aria-hidden": "true" }, number), outdented(network().source[number - 1]));
    return gap ? [el("div", { class: "gap", "aria-hidden": "true" }, "⋮"), line] : [line];
  });
  return [title, el("pre", { tabindex: "0", "aria-label": `Lines of ${network().generated}` }, ...lines)];
}

/** Statements of a method stand eight columns in. */
const outdented = (line) => line.replace(/^ {8}/, "");
