// The graph: network, stages, sites of equal units, ops. A unit is drawn when it unfolds.

const rows = new Map();

/** The tree of the shown network, folded but for its stages. */
function drawTree() {
  rows.clear();
  const shown = network();
  const head = el("div", { class: "row columns", "aria-hidden": "true" },
    ...["", "gives", "parameters", "multiply-adds"].map((text) => el("span", {}, text)));
  const list = el("ul", { class: "tree" }, ...shown.parts.map(partItem));
  byId("graph").replaceChildren(el("h2", {}, "Graph"), head, list);
}

function partItem(part) {
  const sites = network().sites.filter((site) => site.part === part);
  const [only] = sites;
  if (!only.prefix) return siteItem(only, part.name);
  const units = sites.reduce((sum, site) => sum + site.count, 0);
  const inside = el("ul", {}, ...sites.map((site) => siteItem(site)));
  const row = rowButton("stage", [part.name, el("small", {}, plural(units, "unit")), fromOf(part)], part);
  badge(row, findingsNamed(part.name));
  row.addEventListener("click", () => fold(row, inside, row.getAttribute("aria-expanded") === "true"));
  rows.set(part.name, { row, unfold: () => fold(row, inside, false) });
  const item = el("li", { class: "part" }, row, inside);
  fold(row, inside, sites.length > 12);
  return item;
}

/** What it starts from, where that is not what stands before it. */
const fromOf = (part) => (part.from.length ? el("small", {}, `from ${part.from.join(", ")}`) : null);

function siteItem(site, name) {
  const unit = site.facts;
  const title = name
    ? [name, el("small", {}, plural(opsIn(site), "op")), fromOf(site.part)]
    : [el("span", { class: "unit-name" }, unit.name),
      site.count > 1 ? el("span", { class: "times" }, `×${whole(site.count)}`) : null,
      el("small", {}, unit.args)];
  const times = (n) => n && n * site.count;
  const totals = { outputs: unit.outputs, parameters: times(unit.parameters), multiply_adds: times(unit.multiply_adds) };
  const inside = el("div", { class: "unit" });
  const row = rowButton(name ? "end" : "site", title, totals);
  badge(row, findingsWithin(site));
  row.title = span(site);
  row.addEventListener("click", () => {
    const open = row.getAttribute("aria-expanded") === "true";
    if (!open || state.op || state.site !== site) choose(site, null);
    if (open) fold(row, inside, true);
    else unfoldSite(site, row, inside);
  });
  row.addEventListener("pointerenter", () => light(site, null));
  row.addEventListener("pointerleave", unlight);
  rows.set(site.key, { row, unfold: () => unfoldSite(site, row, inside) });
  fold(row, inside, true);
  return el("li", { class: name ? "part" : "" }, row, inside);
}

function rowButton(kind, title, totals) {
  return el("button", { type: "button", class: `row ${kind}`, "aria-expanded": "false" },
    el("span", { class: "name" }, ...title),
    el("span", { class: "shape" }, shapes(totals.outputs)),
    el("span", { class: "number" }, orDash(totals.parameters, whole)),
    el("span", { class: "number" }, orDash(totals.multiply_adds, cost)));
}

function fold(row, inside, folded) {
  row.setAttribute("aria-expanded", String(!folded));
  inside.hidden = folded;
}

function unfoldSite(site, row, inside) {
  reveal(site);
  if (!inside.firstChild) fillUnit(site, inside);
  fold(row, inside, false);
}

/** Unfold what the site is in, so that it has a row. */
function reveal(site) {
  if (site.outer) {
    reveal(site.outer);
    rows.get(site.outer.key).unfold();
  } else if (site.prefix) rows.get(site.part.name).unfold();
}

/** The unit's drawing beside its ops, and the units that it uses. */
function fillUnit(site, inside) {
  const list = el("ul", { class: "ops" });
  let path = null;
  const add = (what, item) => {
    if (what.path !== path) list.append(el("li", { class: "path", "aria-hidden": "true" }, what.path));
    path = what.path;
    list.append(item);
  };
  const { ops, rows: uses } = site.facts;
  for (let at = 0; at <= ops.length; at += 1) {
    for (const use of uses.filter((each) => each.at === at)) {
      for (const each of site.sites.filter((inner) => inner.row === use.name)) add(use, siteItem(each));
    }
    if (at < ops.length) add(ops[at], el("li", {}, opButton(site, ops[at])));
  }
  if (!isFramed(site)) inside.append(drawing(site));
  inside.append(list);
}

/** Whether the drawing of what the site is in shows what is in it. */
function isFramed(site) {
  if (!site.outer) return false;
  const { prefix, svg } = site.outer.facts.drawing;
  return svg.includes(`<g class="frame" data-node="${prefix}${site.name}">`);
}

function opButton(site, op) {
  const row = el("button", { type: "button", class: `op ${op.symbol ? "merges" : op.role}` },
    el("span", { class: "name" }, el("span", {}, ...parted(op.name)), op.name.includes(op.kind) ? null : el("small", {}, op.kind)),
    el("span", { class: "shape" }, shape(op.out)),
    el("span", { class: "number" }, orDash(op.parameters, whole)),
    el("span", { class: "number" }, orDash(op.multiply_adds, cost)));
  badge(row, findingsAt(site, op));
  row.addEventListener("click", () => choose(site, op));
  row.addEventListener("pointerenter", () => light(site, op));
  row.addEventListener("pointerleave", unlight);
  rows.set(fullName(site, op.name), { row });
  return row;
}

/** A dot for the worst of the findings, unless all of them hold. */
function badge(row, found) {
  const level = worst(found.filter((f) => !QUIET.includes(f.level)));
  if (!level) return;
  row.dataset.level = level;
  row.firstChild.append(el("span", { class: `dot ${level}`, role: "img", "aria-label": level }));
}

/** The SVG of a unit, which answers to the pointer; the keyboard has the list of ops. */
function drawing(site) {
  const { name } = site.facts;
  const { width } = site.facts.drawing;
  const made = figure(site.facts.drawing, `The unit ${name}, drawn`, (drawn) => targetIn(site, drawn));
  made.style.flexBasis = `${Math.round(0.8 * width)}px`;
  made.dataset.key = site.key;
  flag(made, site, site.facts.drawing.prefix);
  return made;
}

/** Outline the ops that findings point at, also those in frames, and folded units with such. */
function flag(made, site, prefix) {
  const mark = (name, found) => {
    const level = worst(found.filter((f) => !QUIET.includes(f.level)));
    if (level) boxes(made, prefix, name).forEach((box) => box.classList.add("found", level));
  };
  site.facts.ops.forEach((op) => mark(op.name, findingsAt(site, op)));
  for (const each of site.sites) {
    if (isFramed(each)) flag(made, each, prefix + each.prefix);
    else mark(each.name, findingsWithin(each));
  }
}

/** What a name in a unit's drawing is: an op of it, a unit that it uses, or an op in that. */
function targetIn(site, name) {
  const found = located(name, site.sites, site);
  return found && [found.site, found.op];
}

/** A drawing; `target` tells of a node's name what to choose, as [site, op]. */
function figure({ svg, prefix }, label, target) {
  const made = el("div", { class: "drawing", role: "img", "aria-label": label });
  made.innerHTML = svg; // made by resgraph.draw, which escapes every name
  const under = (event) => {
    const group = event.target.closest("[data-node]");
    const found = group && target(group.dataset.node.slice(prefix.length));
    return found?.every((each) => each !== undefined) ? found : null;
  };
  made.addEventListener("click", (event) => {
    const found = under(event);
    if (found) choose(...found, { scroll: true });
  });
  made.addEventListener("pointerover", (event) => {
    const found = under(event);
    if (found) light(...found);
  });
  made.addEventListener("pointerout", unlight);
  return made;
}

const boxes = (root, prefix, name) => [...root.querySelectorAll("[data-node]")]
  .filter((group) => group.dataset.node === prefix + name);

/** What shows the op: its row and its boxes; where they are folded, what they are folded in. */
function elementsOf(site, op) {
  const name = op ? fullName(site, op.name) : site.key;
  if (op && isShown(name)) return [rows.get(name).row, ...drawn(site, op.name)];
  for (let each = site; each; each = each.outer) {
    if (isShown(each.key)) return [rows.get(each.key).row, ...(each.outer ? drawn(each.outer, each.name) : [])];
  }
  return [rows.get(site.part.name).row];
}

const isShown = (name) => rows.has(name) && !rows.get(name).row.parentElement.closest("#graph [hidden]");

/** The boxes of what has the name in the site, in the drawings of all that the site is in. */
function drawn(site, name) {
  const found = [];
  for (let each = site, inside = name; each; inside = each.prefix + inside, each = each.outer) {
    const made = document.querySelector(`#graph .drawing[data-key="${each.key}"]`);
    if (made) found.push(...boxes(made, each.facts.drawing.prefix, inside));
  }
  return found;
}

// --- choosing and lighting up ------------------------------------------------------------

/** Choose a site, or an op of it: shown in the tree, the drawing, the spec and in words. */
function choose(site, op, { focus = false, scroll = false } = {}) {
  reveal(site);
  if (op) rows.get(site.key).unfold();
  Object.assign(state, { site, op });
  document.querySelectorAll(".chosen").forEach((each) => {
    each.classList.remove("chosen");
    each.removeAttribute("aria-current");
  });
  const [row, ...drawn] = elementsOf(site, op);
  row.classList.add("chosen");
  row.setAttribute("aria-current", "true");
  drawn.forEach((each) => each.classList.add("chosen"));
  if (focus) row.focus({ preventScroll: true });
  if (focus || scroll) bringIntoView(byId("graph"), row);
  showPlace(op ? op.place : site.place, !narrow.matches);
  showDetails();
  remember();
}

/** Scroll the pane, or on a phone the page, up or down until the row is well in view. */
function bringIntoView(pane, row) {
  const box = row.getBoundingClientRect();
  const inPane = pane.scrollHeight > pane.clientHeight + 1;
  const within = inPane ? pane.getBoundingClientRect() : { top: 100, bottom: innerHeight * 0.54 };
  if (box.top >= within.top + 8 && box.bottom <= within.bottom - 8) return;
  const by = box.top - (within.top + within.bottom - box.height) / 2;
  (inPane ? pane : document.scrollingElement).scrollBy(0, by);
}

/** Light up what the op, or the site, is on the other side. */
function light(site, op) {
  unlight();
  elementsOf(site, op).forEach((each) => each.classList.add("lit"));
  lightPlace(op ? op.place : site.place);
}

function unlight() {
  document.querySelectorAll(".lit").forEach((each) => each.classList.remove("lit"));
}

/** One column, where the spec is far from the graph. */
const narrow = matchMedia("(max-width: 800px)");

/** The address says what is chosen, so that a link leads there. */
function remember() {
  const name = state.op ? fullName(state.site, state.op.name) : state.site?.key ?? "";
  const own = facts.networks.length > 1 ? `${network().name}:` : "";
  try {
    history.replaceState(null, "", `#${own}${name}`);
  } catch { /* a frame without an address of its own */ }
}
