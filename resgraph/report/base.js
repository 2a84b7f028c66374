// Facts, state, and small helpers. Text from specs only ever becomes text nodes.

const facts = JSON.parse(document.getElementById("facts").textContent);
const state = { network: 0, site: null, op: null, place: null };
const byId = (id) => document.getElementById(id);

/** An element with attributes, listeners (`onclick`) and children; text becomes text. */
function el(tag, attributes = {}, ...children) {
  return dressed(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
function vector(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return dressed(made, attributes, children);
}

function dressed(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const whole = (n) => n.toLocaleString("en");
const orDash = (n, shown) => (n ? shown(n) : "–");
const SCALES = [[1e10, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "K"]];

/** `640`, `57.34K`, `2.36M`: multiply-adds, in the unit that suits those of the network. */
function cost(n) {
  const [, unit, sign] = SCALES.find(([least]) => network().multiply_adds >= least) ?? [0, 1, ""];
  if (unit === 1 || n < unit / 200) return whole(n);
  return `${(n / unit).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}${sign}`;
}

const shape = (sides) => (sides ? sides.join(" × ") || "1" : "?");

/** `1.5 MiB` */
function bytes(n) {
  const power = n < 1024 ? 0 : n < 1024 ** 2 ? 1 : n < 1024 ** 3 ? 2 : 3;
  const value = n / 1024 ** power;
  const digits = power && value < 100 ? 1 : 0;
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? "" : "s"}`;
const network = () => facts.networks[state.network];

/** Shapes of values, by name where there are several; lines end between them, or else behind a name. */
const shapes = (values) => el("span", { class: "values" }, ...values.flatMap(([name, sides], index) => [
  index ? " " : null,
  el("span", {}, values.length > 1 ? `${name} ` : null, el("span", { class: "unbroken" }, shape(sides)), index < values.length - 1 ? "," : null),
]));

/** The name of an op or unit, which may go on in the next line behind its parts. */
const parted = (name) => name.split(/(?<=[._])/).flatMap((part, index) => (index ? [el("wbr"), part] : [part]));

/** How many ops are in a unit, those of the units in it among them. */
const opsIn = (site) => site.facts.ops.length + site.sites.reduce((sum, inner) => sum + inner.count * opsIn(inner), 0);

/**
 * Places of equal units. `key` is the name of the first in the state_dict, `inside` the prefix
 * of its layers; `outer` is the site that it is a part of, `part` the network's row.
 */
function siteOf(site, part, outer) {
  const inside = outer ? outer.inside : "";
  const made = { ...site, part, outer, key: inside + site.name, inside: inside + site.prefix, facts: facts.units[site.unit] };
  let within = null;
  Object.defineProperty(made, "sites", {
    get() {
      within ??= made.facts.rows.flatMap((row) => row.sites.map((each) => siteOf(each, part, made)));
      return within;
    },
  });
  return made;
}

for (const shown of facts.networks) {
  shown.sites = shown.parts.flatMap((part) => part.sites.map((site) => siteOf(site, part, null)));
}

const MOST_SITES = 20000;

/** The network's sites and those within them, each before what is in it. */
function allSites(shown) {
  const found = [];
  const left = [...(shown?.sites ?? [])].reverse();
  while (left.length && found.length < MOST_SITES) {
    const site = left.pop();
    found.push(site);
    left.push(...[...site.sites].reverse());
  }
  return found;
}

/** An op's name in the state_dict, in the first of equal units. */
const fullName = (site, op) => site.inside + op;
const opNamed = (site, name) => site.facts.ops.find((op) => op.name === name);

/** `stage1.1 to stage1.110` */
function span(site) {
  return countOf(site) === 1 ? site.key : `${site.key} to ${lastOf(site)}`;
}

/** How often the network has it, and the name of the last. */
const countOf = (site) => site.count * (site.outer ? countOf(site.outer) : 1);
const lastOf = (site) => (site.outer ? `${lastOf(site.outer)}.${site.last}` : site.last);

/** What has the name, or is equal to what has it: {site, op}; a site's own name leads to it. */
function located(name, sites = network()?.sites ?? [], outer = null) {
  for (const site of sites) {
    const rest = restOf(name, site);
    if (rest === "") return { site, op: null };
    if (rest !== null) {
      const found = located(rest, site.sites, site);
      if (found) return found;
    }
  }
  const op = outer && opNamed(outer, name);
  return op ? { site: outer, op } : null;
}

/** What is left of the name inside of the site, or of one equal to it; null where it is not. */
function restOf(name, site) {
  if (name === site.name) return "";
  if (!site.prefix) return opNamed(site, name) || site.sites.some((each) => restOf(name, each) !== null) ? name : null;
  if (!name.startsWith(`${site.row}.`)) return null;
  const rest = name.slice(site.row.length + 1);
  if (!site.numbered) return rest;
  const [number] = /^\d*/.exec(rest);
  const away = Number(number) - site.index;
  if (number === "" || away < 0 || away >= site.count) return null;
  const after = rest.slice(number.length);
  if (after === "") return "";
  return after.startsWith(".") ? after.slice(1) : null;
}

/** What storage remembers; a sandboxed frame has none. */
const memory = {
  get(key) {
    try { return localStorage.getItem(key); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(key, value); } catch { /* then it is for this visit */ }
  },
};

// --- theme ---------------------------------------------------------------------------

const dark = matchMedia("(prefers-color-scheme: dark)");

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  document.dispatchEvent(new Event("theme"));
}

function switchTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  memory.set("resgraph-theme", next);
  setTheme(next);
}

setTheme(memory.get("resgraph-theme") || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => {
  if (!memory.get("resgraph-theme")) setTheme(dark.matches ? "dark" : "light");
});
byId("theme").addEventListener("click", switchTheme);

// --- places and findings ---------------------------------------------------------------

/** Whether the place [file, line, col, last line, end col] covers a line, and a column of it. */
function covers(place, file, line, col) {
  if (!place || place[0] !== file || line < place[1] || line > place[3]) return false;
  if (col === undefined) return true;
  return (line > place[1] || col >= place[2]) && (line < place[3] || col < place[4]);
}

const LEVELS = ["error", "warning", "broken", "note", "holds", "fact"];
/** Levels that leave no mark in the graph. */
const QUIET = ["note", "holds", "fact"];
const ofNetwork = (finding) => !finding.networks || finding.networks.includes(state.network);
const findings = () => facts.findings.filter(ofNetwork);
const worst = (found) => LEVELS.find((level) => found.some((f) => f.level === level));

/** Findings by the name of what they are about, in the shown network. */
let named = null;
function findingsNamed(name) {
  named ??= findings().reduce((map, f) => {
    for (const each of new Set(f.where.map(canonical))) map.set(each, [...(map.get(each) ?? []), f]);
    return map;
  }, new Map());
  return named.get(name) ?? [];
}

/** The name of the first of those equal to it. */
function canonical(name) {
  const found = located(name);
  if (!found) return name;
  return found.op ? fullName(found.site, found.op.name) : found.site.key;
}

/** Findings that are about the op, or about the unit's site as a whole. */
function findingsAt(site, op) {
  const here = findingsNamed(op ? fullName(site, op.name) : site.key);
  if (!op) return here;
  return [...here, ...findings().filter((f) => f.where.length === 0 && f.level !== "fact" && samePlace(f.place, op.place))];
}

/** Those of the site, of its ops and of the units in it. */
function findingsWithin(site) {
  const own = [null, ...site.facts.ops].flatMap((op) => findingsAt(site, op));
  return [...own, ...site.sites.flatMap(findingsWithin)];
}

const samePlace = (a, b) => a && b && a.every((n, i) => n === b[i]);
