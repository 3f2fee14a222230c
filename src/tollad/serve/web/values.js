// Values of a table as the graph takes them: each is read, or refused, as the commands do it.
const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const OUTER = new RegExp(`^${SPACE}+|${SPACE}+$`, "g"), OUTER_ASCII = /^[\t-\r ]+|[\t-\r ]+$/g;
const DATE = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?(Z|[+-]\d\d(?::?\d\d)?)?)?$/;
const MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"];
const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const FIRST_DAY = -719162, LAST_DAY = 2932896, MICROSECONDS = 86400e6;

// Inputs of the graph for the text of a table: the rows as they were written, and a vector of numbers or texts a column.
function readRows(text, known, file) {
  const { separator, dates = {}, date_format: form } = known.dialect;
  let table;
  try {
    table = tableOf(text, { separator, header: known.header, usual: /\.(tsv|tab)$/i.test(file) ? "\t" : "," });
  } catch (error) {
    throw new Error(`${file}, ${error.message}`);
  }
  const { records } = table, head = known.header ? records.shift() : null;
  if (!head && !records.length) throw new Error(`${file}: is empty`);
  const names = head ? namesLikeTheFit(head.cells, known) : records[0].cells.map((_, j) => `x${j + 1}`);
  checkNames(names, known, file);
  const ragged = records.find(({ cells }) => cells.length !== names.length);
  if (ragged) {
    throw new Error(`${file}, line ${ragged.line}: expected ${names.length} values, found ${ragged.cells.length}; `
      + "correct the line, and put quotes around values that hold the separator");
  }
  if (!records.length) throw new Error(`${file}: has column names but no rows; give a table with at least one row`);
  const where = row => `${file}, line ${records[row].line}`, vectors = {};
  for (const column of known.columns.filter(({ kind }) => kind !== "drop")) {
    const place = names.indexOf(column.name), texts = records.map(({ cells }) => givenText(cells[place], known));
    vectors[column.name] = READ[column.kind](column, texts, { where, known, form: dates[column.name] ?? form });
  }
  return { head: head && names, records, vectors };
}

// Names without outer spaces, but with those that they had at the fit, in a frame that keeps them.
function namesLikeTheFit(cells, known) {
  const fitted = known.columns.map(column => column.name), spaced = new Map(fitted.map(name => [name.replace(OUTER, ""), name]));
  return cells.map(cell => cell.replace(OUTER, "")).map(name => fitted.includes(name) ? name : spaced.get(name) ?? name);
}

function checkNames(names, known, file) {
  const twice = [...new Set(names.filter((name, place) => names.indexOf(name) !== place))];
  const listed = list => list.map(quoted).join(", "), all = known.columns.map(column => column.name);
  if (twice.length) throw new Error(`${file}: has several columns called ${listed(twice)}; give each column its own name`);
  const lacking = known.columns.filter(({ kind, name }) => kind !== "drop" && !names.includes(name)).map(column => column.name);
  const unknown = names.filter(name => !all.includes(name) && !known.ignored.includes(name));
  if (lacking.length) {
    const instead = unknown.length ? ` and has ${listed(unknown)} instead` : "";
    throw new Error(`${file}: lacks columns that the model was fitted on: ${listed(lacking)}${instead}; ${unknown.length ? "name them as at the fit" : "add them"}`);
  }
  if (unknown.length) throw new Error(`${file}: has columns that the model was not fitted on: ${listed(unknown)}; remove them`);
}

const givenText = (text, { missing, dialect }) => {
  const bare = text.replace(OUTER_ASCII, "");
  return missing.includes(bare) || dialect.missing?.includes(bare) ? null : text;
};

// A text without outer spaces, with accents in one form; null for a word that means missing.
const cleanText = (text, missing) => {
  const clean = text?.replace(OUTER, "").normalize("NFC");
  return clean === undefined || missing.includes(clean) ? null : clean;
};

const quoted = text => {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const whole = `${mark}${text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll(mark, `\\${mark}`)}${mark}`;
  return whole.length > 30 ? `${whole.slice(0, 13)}...${whole.slice(-14)}` : whole;
};

const refused = (row, column, text, like, where) => new Error(
  `${where(row)}, column '${column.name}': ${quoted(text)} is not a ${like}, but the column is one of ${column.kind}s; correct it, or mark it as missing`);

// Text with a decimal point and no signs that group digits, as the dialect has them.
function withPoint(column, text, row, where, decimal) {
  if (!decimal) return text;
  const bare = text.replace(OUTER_ASCII, ""), sign = decimal === "." ? "\\." : ",", other = decimal === "." ? "," : ".";
  const plain = `[0-9]+(${sign}[0-9]*)?([eE][+-]?[0-9]+)?|${sign}[0-9]+([eE][+-]?[0-9]+)?`;
  const groups = `[1-9][0-9]{0,2}([${other}'\u2019 \u00a0\u202f][0-9]{3})+(${sign}[0-9]+)?`;
  if (new RegExp(`^[+-]?(${groups}|${plain})$`).test(bare)) {
    return bare.replace(/['\u2019 \u00a0\u202f]/g, "").replaceAll(other, "").replace(decimal, ".");
  }
  if (decimal === "," && bare.includes(".") && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?$/.test(bare)) {
    throw new Error(`${where(row)}, column '${column.name}': ${quoted(bare)} has a decimal point, but the decimal sign of this table is a comma; correct it`);
  }
  return text;
}

const READ = { number: numbersOf, category: textsOf, date: datesOf };

// A value as plain text; null if it is missing.
function understood(column, given, row, { where, known, form }) {
  if (given === null) return null;
  const pointed = withPoint(column, given, row, where, known.dialect.decimal);
  return cleanText((form && isoDate(pointed.replace(OUTER_ASCII, ""), form)) || pointed, known.missing);
}

function numbersOf(column, texts, { where, known }) {
  let infinite = -1;
  const values = Float64Array.from(texts, (given, row) => {
    const text = understood(column, given, row, { where, known }), lower = text?.toLowerCase();
    if (text === null || /^[+-]?nan(\(\w*\))?$/.test(lower)) return NaN;
    if (lower === "true" || lower === "false") return Number(lower === "true");
    if (!PLAIN_NUMBER.test(text) && !/^[+-]?inf(inity)?$/.test(lower)) throw refused(row, column, text, "number like 1234.5", where);
    const value = PLAIN_NUMBER.test(text) ? Number(text) : Infinity;
    if (!Number.isFinite(value) && infinite < 0) infinite = row;
    return value;
  });
  if (infinite >= 0) {
    throw new Error(`${where(infinite)}, column '${column.name}': the value is infinite; correct it, or mark it as missing`);
  }
  return values;
}

function textsOf(column, texts, how) {
  return texts.map((given, row) => {
    const text = understood(column, given, row, how) ?? "";
    return /^(true|false)$/i.test(text) ? text.toLowerCase() : text;
  });
}

function datesOf(column, texts, how) {
  const at = row => `${how.where(row)}, column '${column.name}': `;
  const moments = texts.map((given, row) => {
    const text = understood(column, given, row, how), moment = text === null ? null : momentOf(text);
    if (moment === undefined) throw refused(row, column, text, "date like 2024-12-31 or 2024-12-31 17:30:00", how.where);
    return moment;
  });
  moments.forEach((moment, row) => {
    const day = moment && Number(moment.wall) / MICROSECONDS;
    if (day < FIRST_DAY || day > LAST_DAY) throw new Error(`${at(row)}the date is not in the years 1 to 9999; correct it, or mark it as missing`);
  });
  const { zone } = column, other = moments.findIndex(moment => moment && zone !== null && Boolean(zone) !== (moment.ahead !== undefined));
  if (other >= 0) {
    const [learnt, remedy] = zone ? ["with one", "give times with a zone"] : ["without one", "leave the zone out"];
    throw new Error(`${at(other)}the time has ${zone ? "no" : "a"} time zone, but the column was learnt ${learnt}; ${remedy}, in the local time of the training rows`);
  }
  return Float64Array.from(moments, (moment, row) => moment ? Number(localTime(column, moment, at(row))) / MICROSECONDS : NaN);
}

// What a clock showed, in microseconds since 1970, and how many minutes it was ahead of UTC, if that is known; undefined for what is no date.
function momentOf(text) {
  const found = text.replaceAll("/", "-").replace(/(\.[0-9]{6})[0-9]+/, "$1").match(DATE);
  if (!found) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map(part => Number(part ?? 0)), zone = found[8];
  const date = new Date(0), [hours, minutes] = (zone?.match(/\d\d/g) ?? []).map(Number);
  date.setUTCFullYear(year, month - 1, day);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) return undefined;
  if (hours > 23 || minutes > 59) return undefined;
  const wall = BigInt(date.setUTCHours(hour, minute, second)) * 1000n + BigInt((found[7] ?? "").padEnd(6, "0"));
  return { wall, ahead: zone && (zone[0] === "-" ? -1 : 1) * (60 * (hours ?? 0) + (minutes ?? 0)) };
}

const CLOCKS = {};

// The time as the clock showed it where the training rows were written.
function localTime(column, { wall, ahead }, at) {
  const { zone, offsets } = column, instant = wall - BigInt(ahead ?? 0) * 60000000n;
  if (zone === null) return instant;
  if (zone === "as written") {
    const said = minutes => `${minutes < 0 ? "-" : "+"}${[Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map(part => String(part).padStart(2, "0")).join(":")}`;
    if (ahead < offsets[0] - 60 || ahead > offsets[1] + 60) {
      throw new Error(`${at}the time is ${said(ahead)} from UTC, but the column was learnt with ${[...new Set(offsets)].map(said).join(" to ")}; `
        + "convert it to the time zone of the training rows");
    }
    return wall;
  }
  if (!zone) return wall;
  CLOCKS[zone] ??= new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric",
    hour: "numeric", minute: "numeric", second: "numeric" });
  const second = BigInt(Math.floor(Number(instant) / 1e6)) * 1000n, part = {};
  for (const { type, value } of CLOCKS[zone].formatToParts(Number(second))) part[type] = Number(value);
  const shown = new Date(Date.UTC(0, part.month - 1, part.day, part.hour, part.minute, part.second));
  return instant + (BigInt(shown.setUTCFullYear(part.year, part.month - 1, part.day)) - second) * 1000n;
}

const DIGITS = { Y: "(\\d{4})", y: "(\\d\\d)", m: "(1[0-2]|0[1-9]|[1-9])", d: "(3[01]|[12]\\d|0[1-9]|[1-9]| [1-9])", H: "(2[0-3]|[01]\\d|\\d)",
  I: "(1[0-2]|0[1-9]|[1-9]| [1-9])", M: "([0-5]\\d|\\d)", S: "(6[01]|[0-5]\\d|\\d)", f: "(\\d{1,6})", p: "(am|pm)" };
const WORDS = { B: MONTHS, b: MONTHS.map(name => name.slice(0, 3)), A: DAYS, a: DAYS.map(name => name.slice(0, 3)) };

// A date in a form of strptime as in 2024-12-31 17:30:00; null if it has another form.
function isoDate(text, form) {
  const parts = [], pattern = form.replace(/%(.)|\s+|[.*+?^${}()|[\]\\]/gs, (found, letter) => {
    if (letter === undefined) return found.trim() ? `\\${found}` : "\\s+";
    if (letter === "%") return "%";
    parts.push(letter);
    return DIGITS[letter] ?? `(${WORDS[letter].join("|")})`;
  });
  const found = text.match(new RegExp(`^${pattern}$`, "i"));
  if (!found) return null;
  const given = Object.fromEntries(parts.map((letter, place) => [letter, found[place + 1].toLowerCase()])), of = letter => Number(given[letter] ?? 0);
  const month = given.m ? of("m") : given.B ? MONTHS.indexOf(given.B) + 1 : given.b ? WORDS.b.indexOf(given.b) + 1 : 1;
  const year = given.Y ? of("Y") : given.y ? of("y") + (of("y") <= 68 ? 2000 : 1900) : 1900;
  const hour = given.I ? of("I") % 12 + (given.p === "pm" ? 12 : 0) : of("H"), padded = (value, width = 2) => String(value).padStart(width, "0");
  const day = `${padded(year, 4)}-${padded(month)}-${padded(given.d ? of("d") : 1)}`;
  const fraction = Number(given.f) ? `.${given.f.padEnd(6, "0")}` : "";
  const whole = parts.some(letter => "HIMSp".includes(letter)) ? `${day} ${padded(hour)}:${padded(of("M"))}:${padded(of("S"))}${fraction}` : day;
  return momentOf(whole) && whole;
}
