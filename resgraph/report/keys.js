// The keyboard, the help that tells its keys, and the start of the page.

const KEYS = [
  ["↑ ↓", "to the row, or line, above or below"],
  ["→ ←", "unfold, or go in; fold, or go out"],
  ["Enter", "choose; on a line: go to what stands on it, again for the next"],
  ["L", "from what is chosen to its line in the spec"],
  ["Escape", "back: from the line to the graph, then to the whole network"],
  ["/", "search"],
  ["T", "light or dark"],
  ["?", "these keys"],
];

function drawHelp() {
  const close = el("button", { type: "button", class: "icon close", "aria-label": "Close", onclick: () => byId("keys").close() }, "×");
  byId("keys").replaceChildren(close, el("h2", { id: "keys-title" }, "Keys"),
    el("dl", {}, ...KEYS.map(([key, does]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, does)))));
}

const visibleRows = () => [...document.querySelectorAll("#graph button")].filter((row) => row.offsetParent);

function step(list, by) {
  const next = list[list.indexOf(document.activeElement) + by];
  if (!next) return;
  next.focus({ preventScroll: true });
  bringIntoView(next.closest("section"), next);
}

/** Keys of the graph's rows. */
function treeKey(event, row) {
  const open = row.getAttribute("aria-expanded");
  if (event.key === "ArrowDown") step(visibleRows(), 1);
  else if (event.key === "ArrowUp") step(visibleRows(), -1);
  else if (event.key === "ArrowRight" && open === "false") row.click();
  else if (event.key === "ArrowRight" && open === "true") step(visibleRows(), 1);
  else if (event.key === "ArrowLeft" && open === "true") row.click();
  else if (event.key === "ArrowLeft") row.closest("ul, .unit").closest("li, .unit")?.closest("li")?.querySelector("button.row")?.focus();
  else return false;
  return true;
}

function lineKey(event, code) {
  const lines = linked().filter((line) => line.offsetParent);
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return false;
  step(lines, by);
  code.tabIndex = -1;
  document.activeElement.tabIndex = 0;
  return true;
}

function back() {
  const outside = !byId("graph").contains(document.activeElement);
  if (state.site && outside) choose(state.site, state.op, { focus: true });
  else if (state.site) clear();
}

const GLOBAL = {
  "/": () => byId("search").focus(),
  "?": () => byId("keys").showModal(),
  t: switchTheme,
  l: () => {
    const place = state.op ? state.op.place : state.site?.place;
    if (place) goToLine(place);
  },
  Escape: back,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
  const at = document.activeElement;
  if (at.matches("input, select, textarea")) return;
  const done = (at.matches("#graph button") && treeKey(event, at)) || (at.matches("#spec .code") && lineKey(event, at));
  const action = GLOBAL[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!done && action) action();
  if (done || action) event.preventDefault();
});
byId("help").addEventListener("click", () => byId("keys").showModal());
byId("keys").addEventListener("click", (event) => {
  if (event.target === byId("keys")) byId("keys").close();
});

// --- views, networks, start ----------------------------------------------------------------

let setView = () => {};

/** Of a run, the training and its network are two views. */
function drawViews() {
  const names = { training: "Training", explorer: "Network" };
  const buttons = Object.entries(names).map(([id, name]) => el("button", { type: "button", onclick: () => setView(id) }, name));
  setView = (id) => {
    Object.keys(names).forEach((each, i) => {
      byId(each).hidden = each !== id;
      buttons[i].setAttribute("aria-pressed", String(each === id));
    });
  };
  byId("views").replaceChildren(...buttons);
  byId("views").hidden = !facts.networks.length;
  setView("training");
}

const showExplorer = () => setView("explorer");

function showNetwork(number) {
  Object.assign(state, { network: number, site: null, op: null });
  index = null;
  named = null;
  const shown = network();
  byId("title").textContent = shown?.name ?? document.title;
  byId("subtitle").textContent = shown?.title ?? "";
  if (shown) drawTree();
  else byId("graph").replaceChildren(el("h2", {}, "Graph"), el("p", { class: "muted" }, "There is no graph to show while the spec has these findings."));
  drawSpec();
  showDetails();
}

function chooser() {
  const select = byId("network");
  select.replaceChildren(...facts.networks.map((each, number) => el("option", { value: number }, each.name)));
  select.hidden = facts.networks.length < 2;
  select.addEventListener("change", () => { showNetwork(Number(select.value)); remember(); });
}

/** What the address names: `#resnet20:stage1.1.conv1`. */
function fromAddress() {
  const [name, net] = decodeURIComponent(location.hash.slice(1)).split(":").reverse();
  const number = facts.networks.findIndex((each) => each.name === net);
  if (number > 0) {
    byId("network").value = number;
    showNetwork(number);
  }
  const found = name && located(name);
  if (!found) return;
  showExplorer();
  choose(found.site, found.op, { scroll: true });
}

drawHelp();
chooser();
showNetwork(0);
if (facts.run) {
  drawTraining();
  drawViews();
}
fromAddress();
document.documentElement.dataset.ready = "yes";
