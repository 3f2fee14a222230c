// The engine of the page of a folder: onnxruntime-web computes what the graph beside the page says.
const IDLE = "What is scored here stays on this computer.", N_ROWS = 2048, KNOWN = JSON.parse(document.getElementById("known").textContent);
// The outputs that tell why, if asked for.
const EXPLAINED = ["parts", "expected"];
let session = null;

const decoded = bytes => {
  const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  const encoding = KNOWN.encoding ?? (isUtf16 ? (bytes[0] === 0xff ? "utf-16le" : "utf-16be") : "utf-8");
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`the file is no ${encoding.toUpperCase()} text; save it as such`);
  }
};

// Answers of the graph for inputs of n rows, a part of them at a time, so that the page stays awake.
async function answersOf(n, inputs, n_once = N_ROWS) {
  const parts = {};
  for (let begin = 0; begin < n; begin += n_once) {
    const answers = await session.run(inputs(begin, Math.min(n, begin + n_once)), session.outputNames.filter(name => !EXPLAINED.includes(name)));
    for (const [name, { data }] of Object.entries(answers)) (parts[name] ??= []).push(Array.from(data, Number));
    await new Promise(resolve => setTimeout(resolve));
  }
  const found = Object.fromEntries(Object.entries(parts).map(([name, lists]) => [name, lists.flat()]));
  const finite = found.anomaly_score.map(score => Number.isNaN(score) ? null : score);
  return { ...found, anomaly_score: finite, threshold: KNOWN.threshold, tie: KNOWN.tie };
}

// The columns that the graph takes as one matrix, row by row.
function matrixOf(vectors, begin, end) {
  const columns = KNOWN.columns.map(({ name }) => vectors[name]), values = new Float64Array(columns.length * (end - begin));
  columns.forEach((column, j) => column.subarray(begin, end).forEach((value, row) => { values[row * columns.length + j] = value; }));
  return { X: new ort.Tensor("float64", values, [end - begin, columns.length]) };
}

const kept = () => KNOWN.columns.filter(({ kind }) => kind !== "drop");

const tensorsOf = (vectors, begin, end) => Object.fromEntries(kept().map(({ name, input, kind }) =>
  [input, new ort.Tensor(kind === "category" ? "string" : "float64", vectors[name].slice(begin, end), [end - begin])]));

// Inputs of rows. Graphs of older versions cannot be asked for reasons.
const rowsOf = (vectors, begin, end, asked = false) => ({
  ...(KNOWN.mixed ? tensorsOf : matrixOf)(vectors, begin, end), ...(KNOWN.flagged && { explained: new ort.Tensor("bool", [asked], []) }),
});

const SCORE = {
  table: async file => {
    const table = readRows(decoded(await bytesOf(file)), KNOWN, file.name);
    return { ...await answersOf(table.records.length, (begin, end) => rowsOf(table.vectors, begin, end)), table };
  },
  series: async file => {
    const { vectors, ...table } = readRows(decoded(await bytesOf(file)), KNOWN, file.name), n = table.records.length;
    for (const { name } of KNOWN.columns) {
      const row = vectors[name].findIndex(Number.isNaN);
      if (row >= 0) throw new Error(`${file.name}, line ${table.records[row].line}, column '${name}': the value is missing; fill it`);
    }
    if (n < KNOWN.window) throw new Error(`${file.name}: has ${n} time steps, fewer than a window of ${KNOWN.window}; give a longer series`);
    const said = await answersOf(n, () => matrixOf(vectors, 0, n), n), place = table.head?.indexOf(KNOWN.time) ?? -1;
    const time = place < 0 ? null : table.records.map(({ cells }) => cells[place]);
    return { ...said, table, time, events: runsOf(alarmsOf(said.label.map(label => label < 0), said.anomaly_score), said.anomaly_score) };
  },
  images: async file => {
    const [channels, height, width] = KNOWN.input_shape, pixels = await pixelsOf(file, KNOWN);
    const said = await answersOf(1, () => ({ X: new ort.Tensor("float32", pixels, [1, channels, height, width]) }));
    const map = said.anomaly_map;
    return map ? { ...said, anomaly_map: [Array.from({ length: height }, (_, row) => map.slice(row * width, (row + 1) * width))] } : said;
  },
};

// The steps that raise an alarm: of each stretch above the threshold those near its peaks, as `tollad.series.events` trims.
function alarmsOf(above, scores) {
  if (!KNOWN.trims) return above;
  const alarms = above.map(() => false);
  const isNear = (step, peak) => scores[step] >= KNOWN.threshold + KNOWN.kept * (peak - KNOWN.threshold);
  for (const { begin, end, score } of runsOf(above, scores)) {
    if (KNOWN.causal) {
      let peak = -Infinity, low = -Infinity;
      for (let step = begin; step <= end; step++) {
        const now = scores[step];
        if (now > peak || Math.min(peak, now) - low >= KNOWN.apart * (peak - KNOWN.threshold)) peak = low = now;
        low = Math.min(low, now);
        alarms[step] = isNear(step, peak);
      }
      continue;
    }
    for (let [first, last, peak] of hillsOf(scores, begin, end, KNOWN.apart * (score - KNOWN.threshold))) {
      while (!isNear(first, peak)) first++;
      while (!isNear(last, peak)) last--;
      alarms.fill(true, first, last + 1);
    }
  }
  return alarms;
}

// The parts of a stretch, cut at the lowest step between two peaks that are `least` or more above it: the first and last step and the peak of each.
function hillsOf(scores, begin, end, least) {
  const hills = [];
  let first = begin, at = begin, top = -Infinity, low = Infinity;
  for (let step = begin; step <= end; step++) {
    const score = scores[step];
    if (Math.min(top, score) - low >= least) {
      hills.push([first, at - 1, top]);
      [first, top, low] = [at, score, score];
    } else if (score > top) top = low = score;
    else if (score < low) [low, at] = [score, step];
  }
  return [...hills, [first, end, top]];
}

// Successive steps that raise an alarm.
function runsOf(alarms, scores) {
  const events = [];
  alarms.forEach((alarm, step) => {
    if (!alarm) return;
    if (!step || !alarms[step - 1]) events.push({ begin: step, end: step, score: scores[step], reasons: [] });
    const event = events.at(-1);
    event.end = step;
    event.score = Math.max(event.score, scores[step]);
  });
  return events;
}

const engine = {
  async models() {
    if (location.protocol === "file:") {
      throw new Error("a browser lets no page read the files beside it: run python -m http.server in this folder, and open http://localhost:8000");
    }
    if (!globalThis.ort) throw new Error("onnxruntime-web is missing: copy the whole folder to where this page lies");
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = new URL(".", location.href).href;
    session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"], logSeverityLevel: 3 }).catch(error => {
      throw new Error(`the model cannot be loaded (${error.message})`);
    });
    return { [KNOWN.name]: { kind: KNOWN.kind, columns: kept(), types: KNOWN.types } };
  },

  score: (name, file, kind) => SCORE[kind](file),

  reasons: KNOWN.flagged && (async (name, { vectors }, row) => {
    const { parts, expected, anomaly_score: score } = await session.run(rowsOf(vectors, row, row + 1, true), [...EXPLAINED, "anomaly_score"]);
    return reasonsIn(KNOWN.columns.map(column => vectors[column.name]?.[row]), [...parts.data], [...expected.data], score.data[0], 5);
  }),
};
