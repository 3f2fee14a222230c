// Series and images on the page.

// What tells of a time step why it is within an event; nothing if no event has reasons.
function reasonsOf({ events }) {
  const within = row => events.filter(event => event.begin <= row && row <= event.end);
  return events.some(event => event.reasons.length)
    && (async row => listed(within(row).length ? within(row).flatMap(event => event.reasons) : ["no event at this step"]));
}

async function readImages(name, files) {
  const found = [];
  for (const [number, file] of files.entries()) {
    at("status").textContent = `Scoring ${file.name}, ${number + 1} of ${files.length} ...`;
    const said = await engine.score(name, file, "images").catch(error => { throw new Error(`${file.name}: ${error.message}`); });
    found.push({ file, said });
  }
  const column = key => found[0].said[key] && found.map(({ said }) => said[key][0]);
  return {
    anomaly_score: column("anomaly_score"), p_value: column("p_value"), threshold: found[0].said.threshold, tie: found[0].said.tie,
    file: files.length === 1 ? files[0].name : `${files.length} images`,
    table: { head: ["file"], records: files.map(file => ({ cells: [file.name] })) },
    detail: row => pictured(found[row].file, found[row].said.anomaly_map?.[0]),
  };
}

// An image, and beside it where it is unlike good ones: an average place of a good image has about 1 in a map.
async function pictured(file, map) {
  const picture = await createImageBitmap(file).catch(() => null), canvases = [];
  if (picture) {
    const plain = make("canvas", { width: picture.width, height: picture.height });
    plain.getContext("2d").drawImage(picture, 0, 0);
    canvases.push(plain);
  }
  if (map) {
    const heat = make("canvas", { width: map[0].length, height: map.length }), context = heat.getContext("2d");
    heat.setAttribute("aria-label", "Where the image is anomalous");
    if (picture) context.drawImage(picture, 0, 0, heat.width, heat.height);
    const pixels = context.getImageData(0, 0, heat.width, heat.height), values = map.flat();
    const most = values.reduce((one, other) => Math.max(one, other), 2);
    values.forEach((value, place) => {
      const share = Math.min(1, Math.max(0, (value - 1) / (most - 1)));
      [213, 94, 0].forEach((ink, part) => {
        pixels.data[4 * place + part] = (1 - share) * (pixels.data[4 * place + part] * 0.6 + 70) + share * ink;
      });
      pixels.data[4 * place + 3] = 255;
    });
    context.putImageData(pixels, 0, 0);
    canvases.push(heat);
  }
  return make("div", { className: "heat" }, ...(canvases.length ? canvases : ["This browser cannot show the file, and the model has no maps."]));
}

function showEvents() {
  at("over").hidden = !data.events;
  const called = step => data.time?.[step] ?? `step ${step + 1}`;
  at("events").replaceChildren(...(data.events ?? []).map(event => make("li", {},
    make("b", { textContent: event.begin === event.end ? called(event.begin) : `${called(event.begin)} to ${called(event.end)}` }),
    `, score ${short(event.score)}${event.reasons.length ? `: ${event.reasons[0]}` : ""}`)));
}

// The highest score of each pixel, so that no peak is lost.
function drawCourse() {
  if (!data.events) return;
  const plot = at("course"), width = plot.clientWidth, height = plot.clientHeight, floor = height - 8;
  const { anomaly_score: scores, axis } = data, inner = width - MARGIN.left - MARGIN.right;
  const x = step => MARGIN.left + inner * step / Math.max(1, scores.length - 1), y = value => floor - (floor - 8) * axis.place(value);
  const highest = new Map();
  scores.forEach((score, step) => {
    const pixel = Math.round(x(step));
    if (score !== null && !(highest.get(pixel) >= score)) highest.set(pixel, score);
  });
  const path = [...highest].map(([pixel, score], place) => `${place ? "L" : "M"}${pixel} ${y(score).toFixed(1)}`).join("");
  const own = y(threshold);
  plot.replaceChildren(
    ...data.events.map(({ begin, end }) => svg("rect", { class: "event", x: x(begin) - 1, y: 0, width: x(end) - x(begin) + 2, height: floor })),
    svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: floor, y2: floor }),
    svg("path", { class: "course", d: path }),
    svg("line", { class: "own", x1: MARGIN.left, x2: width - MARGIN.right, y1: own, y2: own }));
}
