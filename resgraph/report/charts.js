// Small charts in SVG: lines over x with a readout, and a map of numbers on a canvas.

const WIDE = 400;
const HIGH = 230;
const EDGE = { left: 48, right: 14, top: 12, bottom: 34 };

/**
 * A chart of lines, each {name, x, y, style}; a value that is no number breaks a line.
 * The pointer, or the arrow keys, read values off.
 */
function lineChart({ title, xLabel, yLabel, log = false, format = String, lines, at = whole }) {
  const across = lines.flatMap((line) => line.x);
  const values = lines.flatMap((line) => line.y).filter((v) => v !== null && (!log || v > 0));
  if (!values.length) return el("figure", { class: "chart" }, el("figcaption", {}, el("b", {}, title)), el("p", { class: "muted" }, "No values yet."));
  const x = scale([Math.min(0, ...across), Math.max(...across, 1)], [EDGE.left, WIDE - EDGE.right]);
  const y = scale(range(values, log), [HIGH - EDGE.bottom, EDGE.top], log);
  const drawn = lines.map((line, index) => strokes(line, index, x, y, log));
  const cursor = vector("g", { class: "cursor", visibility: "hidden" }, vector("line", { y1: EDGE.top, y2: HIGH - EDGE.bottom }));
  const picture = vector("svg", {
    viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", tabindex: "0",
    "aria-label": `${title}: ${lines.map((line) => summary(line, format)).join("; ")}. The arrow keys read values.`,
  }, ...axes(x, y, xLabel, format), ...drawn, cursor);
  const readout = el("p", { class: "readout", "aria-live": "polite" });
  const read = reader(lines, x, y, cursor, readout, { format, at, xLabel });
  attendChart(picture, lines, x, read);
  read(null);
  return el("figure", { class: "chart" }, el("figcaption", {}, el("b", {}, title), el("small", {}, yLabel)), picture, readout);
}

function summary(line, format) {
  const known = line.y.filter((v) => v !== null);
  return known.length ? `${line.name} from ${format(known[0])} to ${format(known[known.length - 1])}` : `${line.name}, no values`;
}

function range(values, log) {
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.15, high * 1.15];
  return [Math.min(0, low), high > 0 ? high * 1.06 : 1];
}

/** From values to pixels; `scale.ticks` has round values. */
function scale([low, high], [from, to], log = false) {
  const f = log ? Math.log10 : (v) => v;
  const map = (v) => from + ((f(v) - f(low)) / (f(high) - f(low) || 1)) * (to - from);
  map.ticks = log ? decades(low, high) : steps(low, high);
  map.back = (pixel) => low + ((pixel - from) / (to - from)) * (high - low);
  return map;
}

function steps(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((s) => s * power >= rough);
  const count = Math.floor((high - low) / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, i) => Number((Math.ceil(low / step - 1e-9) * step + i * step).toPrecision(12)));
}

function decades(low, high) {
  if (high / low < 4) return steps(low, high);
  const within = high / low < 30 ? [1, 1.5, 2, 3, 5, 7] : [1];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    found.push(...within.map((s) => Number((s * 10 ** power).toPrecision(6))).filter((v) => v >= low && v <= high));
  }
  return found;
}

function axes(x, y, xLabel, format) {
  const bottom = HIGH - EDGE.bottom;
  return [
    ...y.ticks.flatMap((v) => [
      vector("line", { class: "grid", x1: EDGE.left, x2: WIDE - EDGE.right, y1: y(v), y2: y(v) }),
      vector("text", { class: "tick", x: EDGE.left - 7, y: y(v) + 4, "text-anchor": "end" }, format(v)),
    ]),
    ...x.ticks.map((v) => vector("text", { class: "tick", x: x(v), y: bottom + 16, "text-anchor": "middle" }, whole(v))),
    vector("line", { class: "axis", x1: EDGE.left, x2: WIDE - EDGE.right, y1: bottom, y2: bottom }),
    vector("text", { class: "tick", x: WIDE - EDGE.right, y: HIGH - 4, "text-anchor": "end" }, xLabel),
  ];
}

/** A line in pieces between values that are missing; a lone value is a dot. */
function strokes(line, index, x, y, log) {
  const group = vector("g", { class: `line-${line.style ?? index}` });
  let piece = [];
  const end = () => {
    if (piece.length === 1) group.append(vector("circle", { cx: piece[0][0], cy: piece[0][1], r: 3 }));
    if (piece.length > 1) group.append(vector("polyline", { points: piece.map((p) => p.map((n) => n.toFixed(1)).join(",")).join(" ") }));
    piece = [];
  };
  line.x.forEach((at, i) => {
    const value = line.y[i];
    if (value === null || (log && value <= 0)) end();
    else piece.push([x(at), y(value)]);
  });
  end();
  return group;
}

/** Shows the values at an x, of each line the nearest; for none, the last ones. */
function reader(lines, x, y, cursor, readout, { format, at, xLabel }) {
  return (wanted) => {
    const place = wanted ?? Math.max(...lines.flatMap((line) => line.x));
    const read = lines.filter((line) => line.x.length).map((line, index) => {
      const i = nearest(line.x, place);
      const value = line.y[i];
      return el("span", { class: `key-${line.style ?? index}` }, `${line.name} `, el("b", {}, value === null ? "–" : format(value)),
        lines.length > 1 || wanted === null ? ` at ${at(line.x[i])}` : null);
    });
    readout.replaceChildren(...(wanted === null ? [] : [el("span", {}, `${xLabel} ${at(Math.round(place))}`)]), ...read);
    cursor.setAttribute("visibility", wanted === null ? "hidden" : "visible");
    if (wanted !== null) cursor.setAttribute("transform", `translate(${x(place)} 0)`);
  };
}

function nearest(sorted, value) {
  let best = 0;
  sorted.forEach((v, i) => { if (Math.abs(v - value) < Math.abs(sorted[best] - value)) best = i; });
  return best;
}

function attendChart(picture, lines, x, read) {
  const points = [...new Set(lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  let index = points.length;
  const show = (i) => { index = Math.max(0, Math.min(points.length - 1, i)); read(points[index]); };
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    show(nearest(points, x.back(((event.clientX - box.left) / box.width) * WIDE)));
  });
  picture.addEventListener("pointerleave", () => read(null));
  picture.addEventListener("blur", () => read(null));
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(index + step);
  });
}

// --- a map ----------------------------------------------------------------------------------

const COLD_TO_HOT = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // viridis

function heat(share) {
  const at = Math.max(0, Math.min(1, share)) * (COLD_TO_HOT.length - 1);
  const i = Math.min(COLD_TO_HOT.length - 2, Math.floor(at));
  return COLD_TO_HOT[i].map((c, k) => Math.round(c + (COLD_TO_HOT[i + 1][k] - c) * (at - i)));
}

/** Records across, units from the first at the bottom: {title, columns, rows, value, top}. */
function mapChart({ title, columns, rows, value, top, describe, words }) {
  const canvas = el("canvas", { width: columns, height: rows, role: "img", "aria-label": `${title}: ${words}` });
  const pen = canvas.getContext("2d");
  const image = pen.createImageData(columns, rows);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const share = value(column, rows - 1 - row);
      const colour = share === null ? [128, 128, 128] : heat(share / top);
      image.data.set([...colour, 255], 4 * (row * columns + column));
    }
  }
  pen.putImageData(image, 0, 0);
  const readout = el("p", { class: "readout" }, words);
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const column = Math.min(columns - 1, Math.floor(((event.clientX - box.left) / box.width) * columns));
    const row = rows - 1 - Math.min(rows - 1, Math.floor(((event.clientY - box.top) / box.height) * rows));
    readout.textContent = describe(column, row);
  });
  canvas.addEventListener("pointerleave", () => { readout.textContent = words; });
  const scaleBar = el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, "0 %"), el("i"), el("span", {}, percent(top)));
  return el("figure", { class: "chart map" }, el("figcaption", {}, el("b", {}, title)), canvas, scaleBar, readout);
}

const percent = (share) => (share === null ? "–" : `${(100 * share).toLocaleString("en", { maximumFractionDigits: 1 })} %`);
