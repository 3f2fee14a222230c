// The engine of the page of a server: it asks the server.
const IDLE = "What is scored here is not kept.";
let token = "";

async function ask(path, options = {}) {
  const headers = { ...options.headers, ...(token && { authorization: `Bearer ${token}` }) };
  let answer;
  try { answer = await fetch(path, { ...options, headers }); } catch { throw new Error("the server does not answer"); }
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) at("asking").hidden = false;
  if (!answer.ok) {
    const error = new Error(said.error ?? `the server answers with status ${answer.status}`);
    throw Object.assign(error, { quiet: answer.status === 401 && !token });
  }
  return said;
}

const post = (name, what, body, type) =>
  ask(`models/${encodeURIComponent(name)}/${what}`, { method: "POST", body, headers: { "content-type": type } });

// Records of a text with their cells; null where it cannot be told which line is which row of the answer.
function parsed(bytes, n_rows) {
  let text, records;
  try { text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); } catch { text = new TextDecoder("windows-1252").decode(bytes); }
  try { ({ records } = tableOf(text)); } catch { return null; }
  const head = records.length === n_rows + 1 ? records.shift() : null;
  return records.length === n_rows ? { head: head?.cells, raw: head?.raw, records } : null;
}

const engine = {
  async models() {
    at("asking").onsubmit = submitted;
    return (await ask("info")).models;
  },

  async score(name, file, kind) {
    if (kind === "images") return post(name, "explain", file, file.type || "image/png");
    const said = await post(name, kind === "series" ? "explain?reasons=3" : "score", file, "text/csv");
    return { ...said, table: parsed(await bytesOf(file), said.anomaly_score.length) };
  },

  async reasons(name, { raw, records }, row) {
    const said = await post(name, "explain?reasons=5", `${raw ? `${raw}\n` : ""}${records[row].raw}\n`, "text/csv");
    return said.reasons[0];
  },
};

function submitted(event) {
  event.preventDefault();
  token = at("token").value;
  at("asking").hidden = true;
  begin();
}
