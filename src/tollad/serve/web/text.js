// Text of tables, cut into records as the commands cut it: comments, separators, quotes.
const N_GUESSED_BY = 50, N_BEGIN = 65536, SEPARATORS = [",", ";", "\t", "|"];
const PLAIN_NUMBER = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$/;

// The bytes of a file, unpacked if they were packed by gzip.
async function bytesOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A text without leading comments, and the line that it begins on. A comment may hold the names of the columns.
function begun(text, header) {
  let start = 0, line = 1, names = null;
  while (/[#\r\n]/.test(text[start] ?? "")) {
    const end = text.slice(start).search(/[\r\n]/);
    if (end < 0) {
      start = text[start] === "#" ? text.length : start;
      break;
    }
    if (text[start] === "#") names = [start, line];
    start += end + (text.startsWith("\r\n", start + end) ? 2 : 1);
    line++;
  }
  const of = begin => text.slice(begin).split(/[\r\n]/, 1)[0];
  if (header && names && areNames(of(names[0]), of(start))) [start, line] = names;
  return { rest: text.slice(start), line };
}

function areNames(comment, following) {
  const bare = comment.replace(/^[# ]+|[# ]+$/g, ""), n = (text, mark) => text.split(mark).length - 1;
  const alike = [...SEPARATORS, " "].some(mark => n(bare, mark) && n(bare, mark) === n(following.trim(), mark));
  return alike && (/(^|[,;\t| ])[+-]?[\d.]+($|[,;\t| ])/.test(following) || comment[1] !== " ");
}

// The separator of whole lines of text: the one that occurs equally often in each.
function guessed(text, usual) {
  const lines = text.replace(/"[^"]*"/g, '""').split(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/);
  const records = lines.filter(line => line.trim()).slice(0, N_GUESSED_BY);
  const steady = [...new Set([usual, ...SEPARATORS])].filter(mark => {
    const counts = new Set(records.map(record => record.split(mark).length));
    return counts.size === 1 && !counts.has(1);
  });
  if (steady[0] === "," && steady.includes(";")) {
    const values = records.flatMap(record => record.split(";").map(value => value.trim()));
    if (values.every(value => !value.includes(",") || /^[+-]?\d*,\d+$/.test(value))) return ";";
  }
  if (steady.length) return steady[0];
  const rows = records.map(record => record.trim().split(/\s+/)), width = rows[0]?.length;
  const isMatrix = rows.length > 1 && !records.some(record => record.includes(usual)) && width > 1 && rows.every(row => row.length === width)
    && rows.slice(1).flat().every(value => PLAIN_NUMBER.test(value) || ["?", "NA", "NaN", "nan"].includes(value));
  return isMatrix ? " " : usual;
}

function withTabs(text) {
  const tabbed = text.replace(/("[^"\r\n]*")|[ \t]+/g, (found, quoted) => quoted ?? "\t");
  return tabbed.replace(/\t+(?=[\r\n]|$)|(?:^|(?<=[\r\n]))\t+/g, "");
}

// Records of a text with their cells, the line that each begins on, and its text; blank ones are left out.
function recordsOf(text, mark, line) {
  const records = [], rest = new RegExp(`[^${mark === "|" ? "\\|" : mark}\\r\\n]*`, "y");
  let cells = [], place = 0, begin = 0, n_within = 0;
  const end = to => {
    if (to > begin) records.push({ cells, line, raw: text.slice(begin, to) });
    place = begin = to + (text.startsWith("\r\n", to) ? 2 : 1);
    line += n_within + 1;
    cells = [];
    n_within = 0;
  };
  while (place < text.length) {
    let cell = "";
    if (text[place] === '"') {
      for (let from = place + 1, quote; ; from = quote + 2) {
        quote = text.indexOf('"', from);
        if (quote < 0) throw new Error(`line ${line + n_within}: opens quotes that never close; correct the line`);
        cell += text.slice(from, quote);
        place = quote + 1;
        if (text[place] !== '"') break;
        cell += '"';
      }
      n_within += cell.match(/\r\n|\r|\n/g)?.length ?? 0;
    }
    rest.lastIndex = place;
    cell += rest.exec(text)[0];
    cells.push(cell);
    place = rest.lastIndex;
    if (text[place] === mark) place++;
    else end(place);
  }
  if (begin < text.length) {
    cells.push("");
    end(text.length);
  }
  return records;
}

// The records of a table; the separator is guessed if it is not given.
function tableOf(text, { separator, header = true, usual = "," } = {}) {
  const { rest, line } = begun(text, header), first = rest.slice(0, N_BEGIN);
  const whole = Math.max(first.lastIndexOf("\n"), first.lastIndexOf("\r")) + 1 || first.length;
  const mark = separator ?? guessed(first.slice(0, whole), usual);
  return { mark, records: recordsOf(mark === " " ? withTabs(rest) : rest, mark === " " ? "\t" : mark, line) };
}
