// The spec's files with line numbers; what stands on a line, and what was found on it.

/** What the shown network has at a place: ops first, else sites of units. */
function targets(file, line, col) {
  const sites = everySite();
  const found = sites.flatMap((site) => site.facts.ops
    .filter((op) => covers(op.place, file, line, col))
    .map((op) => ({ site, op })));
  const uses = sites
    .filter((site) => site.outer && covers(site.place, file, line, col))
    .map((site) => ({ site, op: null }));
  if (found.length || uses.length) return [...found, ...uses];
  if (col !== undefined) return targets(file, line);
  return sites
    .filter((site) => covers(site.place, file, line) || covers(site.facts.place, file, line))
    .map((site) => ({ site, op: null }));
}

/** All sites of the shown network, made once. */
function everySite() {
  const shown = network();
  if (!shown) return [];
  shown.every ??= allSites(shown);
  return shown.every;
}

function drawSpec() {
  const pane = byId("spec");
  const many = facts.files.length > 1;
  const tabs = facts.files.map((file, number) => el("button", {
    type: "button", role: "tab", id: `tab-${number}`, "aria-controls": `file-${number}`,
    onclick: () => showFile(number),
    onkeydown: (event) => turnTabs(event, number),
  }, file.name));
  const bar = many
    ? el("div", { class: "tabs", role: "tablist", "aria-label": "Files" }, ...tabs)
    : el("p", { class: "file-name" }, facts.files[0]?.name ?? "");
  const files = facts.files.map((file, number) => el("div", {
    class: "file", id: `file-${number}`, role: many ? "tabpanel" : "group",
    "aria-label": many ? null : file.name, "aria-labelledby": many ? `tab-${number}` : null,
  }, ...file.lines.flatMap((text, index) => lineRows(number, index + 1, text))));
  pane.replaceChildren(el("h2", {}, "Spec"), bar, ...files);
  placeless().forEach((row) => bar.after(row));
  if (facts.files.length) showFile(firstFile());
  linked().forEach((button, index) => { button.tabIndex = index ? -1 : 0; });
}

/** The file that has findings that stop the compilation, else the spec itself. */
function firstFile() {
  const wrong = findings().find((f) => f.level === "error" && f.place);
  return wrong ? wrong.place[0] : 0;
}

const placeless = () => findings().filter((f) => !f.place && f.level === "error").map(findingRow);

function showFile(number) {
  facts.files.forEach((_, index) => {
    byId(`file-${index}`).hidden = index !== number;
    const tab = byId(`tab-${index}`);
    tab?.setAttribute("aria-selected", String(index === number));
    if (tab) tab.tabIndex = index === number ? 0 : -1;
  });
}

function turnTabs(event, number) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const next = step && byId(`tab-${number + step}`);
  if (!next) return;
  event.preventDefault();
  event.stopPropagation();
  next.click();
  next.focus();
}

/** A line, and below it the findings on it. */
function lineRows(file, line, text) {
  const found = findings().filter((f) => covers(f.place, file, line) && f.place[1] === line);
  const leads = targets(file, line).length > 0;
  const code = el(leads ? "button" : "span", { class: "code", tabindex: leads ? -1 : null, type: leads ? "button" : null },
    ...painted(text));
  const row = el("div", { class: leads ? "line linked" : "line", id: `line-${file}-${line}` },
    el("span", { class: "at", "aria-hidden": "true" }, line), code);
  if (leads) attend(row, code, file, line);
  if (!found.length) return [row];
  const below = el("div", { class: "below" }, ...found.map(findingRow));
  const level = worst(found);
  const button = el("button", {
    type: "button", class: `flag ${level}`, "aria-expanded": "false",
    "aria-label": `Line ${line}: ${plural(found.length, "finding")}, ${level}`,
    onclick: () => fold(button, below, button.getAttribute("aria-expanded") === "true"),
  }, level, found.length > 1 ? ` ${found.length}` : "");
  row.append(button);
  row.dataset.level = level;
  fold(button, below, !["error", "warning"].includes(level));
  return [row, below];
}

/** The pointer chooses by column where a line has several ops; Enter goes through them. */
function attend(row, code, file, line) {
  const here = (event) => (event.detail === 0 ? targets(file, line) : targets(file, line, column(event, code)));
  code.addEventListener("pointermove", (event) => lightTargets(targets(file, line, column(event, code)), row));
  code.addEventListener("pointerleave", unlight);
  code.addEventListener("focus", () => { if (code.matches(":focus-visible")) lightTargets(targets(file, line), row); });
  code.addEventListener("blur", unlight);
  code.addEventListener("click", (event) => {
    const found = here(event);
    const next = found[(found.findIndex(isChosen) + 1) % found.length];
    choose(next.site, next.op, { focus: event.detail === 0, scroll: true });
    linked().forEach((each) => { each.tabIndex = each === code ? 0 : -1; });
    state.line = code;
  });
}

const isChosen = ({ site, op }) => site === state.site && op === state.op;

/** 1-based, from the pointer: the text is monospaced. */
function column(event, code) {
  const text = code.textContent.length || 1;
  const range = document.createRange();
  range.selectNodeContents(code);
  const box = range.getBoundingClientRect();
  return Math.floor(((event.clientX - box.left) / box.width) * text) + 1;
}

function lightTargets(found, row) {
  unlight();
  row.classList.add("lit");
  found.forEach(({ site, op }) => elementsOf(site, op).forEach((each) => each.classList.add("lit")));
}

function findingRow(finding) {
  const notes = finding.notes.map((note) => el("p", { class: "note" }, note.message, note.place ? [" ", placeLink(note.place)] : null));
  return el("div", { class: `finding ${finding.level}` },
    el("p", {}, el("b", {}, finding.level), " ", finding.message),
    ...notes,
    finding.hint ? el("p", { class: "hint" }, `hint: ${finding.hint}`) : null);
}

/** `specs/x.yaml:12`, which leads there. */
function placeLink(place) {
  return el("button", { type: "button", class: "link", onclick: () => goToLine(place) },
    `${facts.files[place[0]].name}:${place[1]}`);
}

/** Focus the place's line, or where nothing stands there, show it. */
function goToLine(place) {
  showExplorer();
  showPlace(place, true);
  const code = byId(`line-${place[0]}-${place[1]}`)?.querySelector("button.code");
  if (!code) return;
  linked().forEach((each) => { each.tabIndex = each === code ? 0 : -1; });
  code.focus({ preventScroll: true });
}

const linked = () => [...document.querySelectorAll("#spec .linked .code")];

function rowsOf(place) {
  if (!place) return [];
  const found = [];
  for (let line = place[1]; line <= place[3]; line += 1) {
    const row = byId(`line-${place[0]}-${line}`);
    if (row) found.push(row);
  }
  return found;
}

/** Mark the place as the chosen one, its columns too where it is on one line. */
function showPlace(place, scroll = false) {
  document.querySelectorAll(".line.here").forEach((row) => row.classList.remove("here"));
  document.querySelectorAll(".line .under").forEach((mark) => mark.remove());
  const found = rowsOf(place);
  if (!found.length) return;
  showFile(place[0]);
  found.forEach((row) => row.classList.add("here"));
  if (place[1] === place[3]) found[0].querySelector(".code").append(underline(place));
  if (scroll) bringIntoView(byId("spec"), found[0]);
}

function lightPlace(place) {
  rowsOf(place).forEach((row) => row.classList.add("lit"));
}

function underline(place) {
  const width = Math.max(1, place[4] - place[2]);
  return el("span", { class: "under", "aria-hidden": "true", style: `left:${place[2] - 1}ch;width:${width}ch` });
}

// --- colours of YAML -----------------------------------------------------------------------

/** Keys, comments and the rest: enough to read by. */
function painted(text) {
  const comment = text.search(/(^|\s)#/);
  const code = comment < 0 ? text : text.slice(0, comment);
  const parts = code.split(/("[^"]*"|'[^']*'|\w+(?=\s*:(?:\s|$)))/);
  const shown = parts.map((part, i) => (i % 2 && /^\w/.test(part) ? el("span", { class: "key" }, part) : part));
  if (comment >= 0) shown.push(el("span", { class: "comment" }, text.slice(comment)));
  return shown;
}
