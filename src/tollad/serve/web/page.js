const at = id => document.getElementById(id), PAGE = 50, N_BINS = 48, MARGIN = { left: 12, right: 12, top: 22, bottom: 24 };
let models = {}, data = null, threshold = 0, order = "highest", n_shown = PAGE, n_asked = 0;

const make = (name, traits = {}, ...children) => {
  const element = Object.assign(document.createElement(name), traits);
  element.append(...children);
  return element;
};
const short = value => value === null ? "" : value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1e6)
  ? String(Number(value.toPrecision(4))) : value.toExponential(2);

function tell(error) {
  at("error").textContent = error ? error.message[0].toUpperCase() + error.message.slice(1) : "";
  at("error").hidden = !error;
}

async function begin() {
  at("status").textContent = IDLE;
  try {
    models = await engine.models();
  } catch (error) {
    if (!error.quiet) tell(error);
    return;
  }
  tell();
  at("start").hidden = false;
  at("model").replaceChildren(...Object.keys(models).map(name => make("option", { textContent: name })));
  at("model").hidden = Object.keys(models).length < 2;
  describe();
}

function describe() {
  const name = at("model").value, { kind, columns, types } = models[name];
  const named = columns.map(column => column.kind === "number" ? column.name : `${column.name} (${column.kind})`).join(", ");
  at("file").accept = kind === "images" ? types.join() : ".csv,.tsv,.txt,text/csv";
  at("file").multiple = kind === "images";
  at("wanted").textContent = { table: "Choose a CSV file", series: "Choose a CSV file of a series", images: "Choose images" }[kind];
  at("them").textContent = kind === "images" ? "them" : "it";
  at("columns").textContent = kind === "images" ? `The model ${name} takes images.`
    : `The model ${name} takes ${columns.length} column${columns.length === 1 ? "" : "s"}: ${named}`;
}

async function take(files) {
  const asked = ++n_asked, name = at("model").value;
  at("status").textContent = `Scoring ${files[0].name} ...`;
  tell();
  try {
    const { kind } = models[name];
    const said = kind === "images" ? await readImages(name, files) : await readFile(name, files[0], kind);
    if (asked !== n_asked) return;
    data = { ...said, name };
    threshold = data.threshold;
    order = "highest";
    n_shown = PAGE;
    at("found").hidden = false;
    show();
  } catch (error) {
    if (asked === n_asked) tell(error);
  } finally {
    if (asked === n_asked) at("status").textContent = IDLE;
    at("file").value = "";
  }
}

// Answers for the rows of a file, and what tells more of a row.
async function readFile(name, file, kind) {
  const said = { file: file.name, ...await engine.score(name, file, kind) };
  const reasons = said.table && engine.reasons && (async row => listed(await engine.reasons(name, said.table, row)));
  return { ...said, detail: kind === "series" ? reasonsOf(said) : reasons };
}

// Scores that differ by orders of magnitude are drawn on an axis of logarithms.
function axis() {
  const values = [...data.anomaly_score.filter(value => value !== null), data.threshold].sort((a, b) => a - b);
  const low = values[0], high = values.at(-1), isLog = low > 0 && high / low > 20;
  const to = isLog ? Math.log10 : value => value, from = isLog ? value => 10 ** value : value => value;
  const pad = (to(high) - to(low)) * 0.02 || 0.5, least = to(low) - pad, span = to(high) + pad - least;
  const ticks = [];
  if (isLog) {
    const every = Math.ceil(span / 8), factors = span < 2.5 ? [1, 2, 5] : [1];
    for (let power = Math.floor(least); power <= least + span; power += every) ticks.push(...factors.map(f => f * 10 ** power));
  } else {
    const step = [1, 2, 5, 10].map(f => f * 10 ** Math.floor(Math.log10(span / 5))).find(step => span / step <= 7);
    for (let k = Math.ceil(least / step); k * step <= least + span; k++) ticks.push(k * step);
  }
  return { place: value => (to(value) - least) / span, value: place => from(least + place * span), ticks };
}

function svg(name, traits, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(traits)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function draw() {
  const plot = at("plot"), width = plot.clientWidth, height = plot.clientHeight;
  const inner = width - MARGIN.left - MARGIN.right, floor = height - MARGIN.bottom, { place, ticks } = data.axis;
  const x = value => MARGIN.left + inner * Math.min(1, Math.max(0, place(value))), most = Math.max(...data.bins);
  const bars = data.bins.map((n, bin) => {
    const tall = n && Math.max(2, (floor - MARGIN.top) * n / most), step = inner / N_BINS;
    return { x: MARGIN.left + bin * step + 0.5, y: floor - tall, width: Math.max(1, step - 1), height: tall };
  });
  const cut = x(threshold), own = x(data.threshold), side = value => value > width * 0.6 ? "end" : "start";
  const clip = svg("clipPath", { id: "right" });
  clip.append(svg("rect", { x: cut, y: 0, width: Math.max(0, width - cut), height }));
  const right = svg("g", { "clip-path": "url(#right)" });
  right.append(...bars.map(bar => svg("rect", { class: "above", ...bar })));
  plot.replaceChildren(clip, ...bars.map(bar => svg("rect", { class: "below", ...bar })), right,
    svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: floor, y2: floor }));
  let free = -Infinity;
  for (const tick of ticks) {
    const middle = MARGIN.left + inner * place(tick);
    if (middle < free || middle < 12 || middle > width - 12) continue;
    free = middle + 44;
    plot.append(svg("text", { x: middle, y: height - 7, "text-anchor": "middle" }, short(tick)));
  }
  plot.append(svg("line", { class: "own", x1: own, x2: own, y1: MARGIN.top - 6, y2: floor }));
  plot.append(svg("text", { x: own + (side(own) === "end" ? -6 : 6), y: 12, "text-anchor": side(own) }, "the model's threshold"));
  plot.append(svg("line", { class: "cut", x1: cut, x2: cut, y1: MARGIN.top - 6, y2: floor }));
}

// Scores of a graph that differ from the threshold by rounding are ties, which are normal.
const isHigh = score => score - Math.abs(score) * (data.tie ?? 0) > threshold;

function count() {
  const n = data.anomaly_score.length, high = data.anomaly_score.filter(isHigh).length;
  const many = { table: "Rows", series: "Steps", images: "Images" }[models[data.name].kind];
  const facts = [[many, n.toLocaleString("en")], ["Anomalies", high.toLocaleString("en"), "high"], ["Share", `${(100 * high / n).toFixed(1)} %`]];
  at("counts").replaceChildren(...facts.map(([name, value, kind = ""]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value, className: kind }))));
  at("slide").value = 1000 * data.axis.place(threshold);
  at("slide").setAttribute("aria-valuetext", `${short(threshold)}: ${high} of ${n} ${many.toLowerCase()} are anomalies`);
  if (document.activeElement !== at("exact")) at("exact").value = Number(threshold.toPrecision(6));
  for (const row of at("rows").querySelectorAll(".row")) row.classList.toggle("high", isHigh(data.anomaly_score[row.dataset.row]));
}

function move(value) {
  threshold = value;
  draw();
  drawCourse();
  count();
}

function show() {
  data.axis = axis();
  data.bins = new Array(N_BINS).fill(0);
  for (const value of data.anomaly_score) if (value !== null) data.bins[Math.min(N_BINS - 1, Math.floor(N_BINS * data.axis.place(value)))]++;
  at("named").textContent = data.file;
  showEvents();
  list();
  move(threshold);
}

const titles = () => data.table ? data.table.head ?? models[data.name].columns.map(column => column.name) : [];

function list() {
  const { anomaly_score: scores, p_value: p, table } = data, indices = scores.map((_, row) => row);
  if (order !== "row") indices.sort((a, b) => (order === "highest" ? 1 : -1) * ((scores[b] ?? -1) - (scores[a] ?? -1)));
  const sorter = (text, next, state) => make("th", { className: text.startsWith("Score") ? "number" : "", ariaSort: state },
    make("button", { type: "button", textContent: text, onclick: () => { order = next; list(); count(); } }));
  const names = titles(), numbers = new Set(models[data.name].columns.filter(column => column.kind === "number").map(column => column.name));
  const kinds = names.map(name => numbers.has(name) ? "number" : "text");
  at("heads").replaceChildren(sorter("Row", "row", order === "row" ? "ascending" : "none"),
    sorter(order === "lowest" ? "Score ▴" : order === "highest" ? "Score ▾" : "Score", order === "highest" ? "lowest" : "highest",
      { highest: "descending", lowest: "ascending", row: "none" }[order]),
    ...(p ? [make("th", { textContent: "p-value", className: "number" })] : []),
    ...names.map((textContent, column) => make("th", { textContent, className: kinds[column] })));
  at("rows").replaceChildren(...indices.slice(0, n_shown).map(row => {
    const open = make("button", { type: "button", textContent: row + 1, ariaExpanded: "false" });
    const line = make("tr", { className: data.detail ? "row told" : "row", onclick: () => data.detail && opened(line, open, row) },
      make("td", {}, data.detail ? open : String(row + 1)), make("td", { textContent: short(scores[row]), className: "number score" }),
      ...(p ? [make("td", { textContent: short(p[row]), className: "number" })] : []),
      ...(table ? table.records[row].cells.map((textContent, column) => make("td", { textContent, className: kinds[column] ?? "text" })) : []));
    line.dataset.row = row;
    return line;
  }));
  at("more").hidden = scores.length <= n_shown;
}

async function opened(line, open, row) {
  if (open.ariaExpanded === "true") {
    line.nextSibling.remove();
    open.ariaExpanded = "false";
    line.classList.remove("open");
    return;
  }
  open.ariaExpanded = "true";
  line.classList.add("open");
  const cell = make("td", { className: "why", colSpan: line.cells.length });
  line.after(make("tr", {}, cell));
  try {
    cell.replaceChildren(await data.detail(row));
  } catch (error) {
    cell.replaceChildren(listed([error.message]));
  }
}

// Reasons in words, such as "age: 3, expected about 41 (62 % of the score)", with bars.
function listed(texts) {
  return make("ol", {}, make("li", { className: "faint", textContent: "What is unusual, and its share of the score" }), ...texts.map(reason => {
    const [, text, share] = reason.match(/^(.*) \((\d+) % of the score\)$/s) ?? [null, reason];
    if (share === undefined) return make("li", { textContent: text });
    return make("li", {}, make("span", { textContent: text }), make("span", { className: "faint", textContent: `${share} %` }),
      make("meter", { min: 0, max: 100, value: Number(share) }));
  }));
}

function save() {
  const quote = cell => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell, { table, anomaly_score: scores, p_value: p } = data;
  const added = ["anomaly_score", "anomaly", ...(p ? ["p_value"] : [])];
  const lines = scores.map((score, row) => [...(table ? table.records[row].cells : []), String(score ?? ""), String(isHigh(score)),
    ...(p ? [String(p[row] ?? "")] : [])]);
  const text = [[...titles(), ...added], ...lines].map(cells => cells.map(quote).join(",")).join("\n") + "\n";
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: data.file.replace(/\.\w+$/, "") + "-scores.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
}

at("model").onchange = describe;
at("file").onchange = event => event.target.files.length && take([...event.target.files]);
at("slide").oninput = event => move(data.axis.value(event.target.value / 1000));
at("exact").oninput = event => event.target.value !== "" && move(Number(event.target.value));
at("own").onclick = () => move(data.threshold);
at("save").onclick = save;
at("more").onclick = () => { n_shown += 4 * PAGE; list(); count(); };
at("plot").onpointerdown = at("plot").onpointermove = event => {
  if (!(event.buttons & 1)) return;
  at("plot").setPointerCapture(event.pointerId);
  const box = at("plot").getBoundingClientRect(), inner = box.width - MARGIN.left - MARGIN.right;
  move(data.axis.value(Math.min(1, Math.max(0, (event.clientX - box.left - MARGIN.left) / inner))));
};
addEventListener("resize", () => data && move(threshold));
addEventListener("dragover", event => { event.preventDefault(); document.querySelector(".drop").classList.add("over"); });
addEventListener("dragleave", () => document.querySelector(".drop").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  document.querySelector(".drop").classList.remove("over");
  if (!at("start").hidden && event.dataTransfer.files.length) take([...event.dataTransfer.files]);
});
const paint = mode => {
  document.documentElement.style.colorScheme = mode;
  at("theme").textContent = mode === "dark" ? "Light" : "Dark";
  at("theme").onclick = () => paint(mode === "dark" ? "light" : "dark");
};
paint(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
begin();
