// Search: units, ops, parameters and lines; `stage2.57.conv1` finds the units around it.

const MOST = 40;

/** Everything that can be found: {text, kind, go}. Made at the first search. */
function searchIndex() {
  const known = everySite().flatMap((site) => [
    { text: `${site.facts.name} ${site.key}`, shown: [site.facts.name, span(site)], kind: "unit", go: () => choose(site, null, { focus: true }) },
    ...site.facts.ops.flatMap((op) => opEntries(site, op)),
  ]);
  const lines = facts.files.flatMap((file, number) => file.lines.map((text, index) => ({
    text, shown: [text.trim(), `${file.name}:${index + 1}`], kind: "line",
    go: () => goToLine([number, index + 1, 1, index + 1, text.length + 1]),
  })).filter((entry) => entry.shown[0]));
  return [...known, ...lines];
}

function opEntries(site, op) {
  const go = () => choose(site, op, { focus: true });
  const name = fullName(site, op.name);
  const many = site.count > 1 ? ` ×${whole(site.count)}` : "";
  return [
    { text: `${name} ${op.kind}`, shown: [name, `${op.kind}${many}`], kind: "op", go },
    ...op.weights.map(([weight, sides]) => ({
      text: `${name}.${weight}`, shown: [`${name}.${weight}`, shape(sides)], kind: "parameter", go,
    })),
  ];
}

let index = null;

function found(query) {
  index ??= searchIndex();
  const exact = withinRun(query);
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const hits = index.filter((entry) => {
    const text = entry.text.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return [...exact, ...hits].slice(0, MOST);
}

/** A name of the state_dict inside a run of equal units leads to the one that is shown. */
function withinRun(query) {
  const name = query.trim();
  const weight = name.slice(0, name.lastIndexOf("."));
  const place = located(name) ?? (/^[\w.]+$/.test(weight) ? located(weight) : null);
  if (!place) return [];
  const { site, op } = place;
  const own = op ? fullName(site, op.name) : site.key;
  if (name === own || name.startsWith(`${own}.`)) return [];  // it is in the index itself
  return [{ shown: [name, `equal to ${own}`], kind: op ? "op" : "unit", go: () => choose(site, op, { focus: true }) }];
}

function showFound() {
  const list = byId("results");
  const query = byId("search").value;
  const hits = found(query);
  const none = query.trim() && !hits.length ? [el("li", { class: "muted" }, "Nothing found.")] : [];
  list.replaceChildren(...none, ...hits.map((entry) => el("li", {}, el("button", {
    type: "button", onclick: () => { closeSearch(); showExplorer(); entry.go(); },
  }, el("small", {}, entry.kind), el("span", {}, entry.shown[0]), el("small", {}, entry.shown[1])))));
  list.hidden = !query.trim();
}

function closeSearch() {
  byId("search").value = "";
  showFound();
}

byId("search").addEventListener("input", showFound);
byId("finder").addEventListener("keydown", (event) => {
  const buttons = [...byId("results").querySelectorAll("button")];
  const at = buttons.indexOf(document.activeElement);
  const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (move) {
    event.preventDefault();
    (buttons[at + move] ?? (move < 0 ? byId("search") : null))?.focus();
  } else if (event.key === "Enter" && at < 0) {
    buttons[0]?.click();
  } else if (event.key === "Escape") {
    event.preventDefault();
    closeSearch();
    if (state.site) choose(state.site, state.op, { focus: true });
  }
  event.stopPropagation();
});
document.addEventListener("pointerdown", (event) => {
  if (!byId("finder").contains(event.target)) byId("results").hidden = true;
});
byId("search").addEventListener("focus", showFound);
