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
const millions = (n) => `${(n / 1e6).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}M`;
const cost = (n) => (n && n < 5000 ? whole(n) : millions(n));
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

/** The parts' sites of equal units, with what is needed to name them. */
function allSites(shown) {
  return shown.parts.flatMap((part) => part.sites.map((site) => ({
    ...site,
    part,
    key: site.prefix ? `${site.prefix}${site.index}` : part.name,
    facts: facts.units[site.unit],
  })));
}
for (const shown of facts.networks) shown.sites = allSites(shown);

/** An op's name in the state_dict, in the first of equal units. */
const fullName = (site, op) => (site.prefix ? `${site.key}.${op}` : op);
const opNamed = (site, name) => site.facts.ops.find((op) => op.name === name);

/** `stage1.1 to stage1.110` */
function span(site) {
  if (site.count === 1) return site.key;
  return `${site.key} to ${site.prefix}${site.index + site.count - 1}`;
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

/** Findings that are about the op, or about the unit's site as a whole. */
function findingsAt(site, op) {
  const name = op ? fullName(site, op.name) : site.key;
  return findings().filter((f) => f.where.includes(name)
    || (f.where.length === 0 && op && f.level !== "fact" && samePlace(f.place, op.place)));
}

const samePlace = (a, b) => a && b && a.every((n, i) => n === b[i]);
