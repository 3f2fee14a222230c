// What is unusual about a row in words, as `Explanation.reasons` has them.
const WEEKDAYS = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"], LENGTHS = { hour: 1, weekday: 7, "day of year": 365.2425 };
// Smaller shares would be shown as 0 %.
const LEAST_SHARE = 0.005;

// A number with some significant digits, as Python rounds it: exactly, and halves to even digits.
function general(value, digits) {
  if (value === 0 || !Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  const [exact, power] = Math.abs(value).toExponential(60).split("e"), all = BigInt(exact.replace(".", "")), unit = 10n ** BigInt(61 - digits);
  const rest = 2n * (all % unit), rounded = all / unit + (rest > unit || (rest === unit && (all / unit) % 2n) ? 1n : 0n);
  const isMore = String(rounded).length > digits, exponent = Number(power) + isMore, text = String(rounded).slice(0, digits), sign = value < 0 ? "-" : "";
  const bare = (whole, part) => sign + whole + `.${part}`.replace(/\.?0*$/, "");
  if (exponent < -4 || exponent >= digits) {
    return `${bare(text[0], text.slice(1))}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  return exponent < 0 ? bare("0", "0".repeat(-exponent - 1) + text) : bare(text.slice(0, exponent + 1), text.slice(exponent + 1));
}

function worded(value, digits = 4) {
  if (value === null || Number.isNaN(value)) return "missing";
  if (typeof value === "number") {
    const brief = general(value, digits);
    return brief.includes("e+") && Math.abs(value) < 1e15 ? general(Number(brief), Math.max(digits, 15)) : brief;
  }
  return value.length > 40 ? `${value.slice(0, 37)}...` : value;
}

function compared(seen, expected) {
  for (const digits of [4, 6, 9, 17]) {
    const [one, other] = [worded(seen, digits), worded(expected, digits)];
    if (one !== other) return `${one}, expected ${typeof expected === "string" ? "" : "about "}${other}`;
  }
  return `${worded(seen, 9)}, as expected`;
}

const isRare = ({ levels }) => levels.length > KNOWN.most_levels;
const WIDTHS = { drop: () => 0, number: () => 1, category: column => isRare(column) ? 1 : column.levels.length + 1, date: ({ cycles }) => 2 + 2 * cycles.length };
const FINDINGS = { number: ofNumber, category: ofCategory, date: ofDate };

const percent = share => share > 0.995 && share < 1 ? "over 99 %" : share > 0 && share < 0.005 ? "under 1 %" : `${Math.floor(100 * share + 0.5)} %`;
const manyRows = share => share >= 1 ? "all training rows" : `${percent(share)} of the training rows`;

// What is unusual about a value, with whether others are missing; `flag` has the part of its flag, and how much of it is among `parts`.
function found(column, number, value, expected, parts, flag) {
  const missing = value === "" || Number.isNaN(value), share = KNOWN.usual?.missing[number] ?? NaN;
  if (missing && share > 0.5) return `missing, as in ${percent(share)} of the training rows`;
  if (missing && share <= 0.5) return `missing, where ${manyRows(1 - share)} have a value`;
  const words = FINDINGS[column.kind](column, value, expected, parts, KNOWN.usual?.true[number] ?? NaN);
  if (missing || !(share > 0.5)) return words;
  const gap = `present, where ${manyRows(share)} have none`, [seen, ...rest] = words.split(", "), others = rest.join(", ");
  if (column.kind === "category") return `${worded(value)}, ${gap}`;
  const own = parts.reduce((one, other) => one + other, 0) - flag.within;
  return own > flag.part && others !== "as expected" ? `${seen}, ${gap}; ${others}` : `${seen}, ${gap}`;
}

// A number, a time of day or a duration, or a truth value; `ones` is the share of training rows that have 1, NaN for other numbers.
function ofNumber(column, value, [expected], parts, ones) {
  if (column.clock) return clocks(value, expected, column.clock);
  if (Number.isNaN(ones) || (value !== 0 && value !== 1)) return compared(value, expected);
  const words = column.words ? ["false", "true"] : ["0", "1"], [seen, other] = [words[value], words[1 - value]], share = value ? ones : 1 - ones;
  if (1 - share > 2 / 3) return `${seen}, where ${other} is usual: ${manyRows(1 - share)}`;
  return `${seen}, as in ${percent(share)} of the training rows${(expected >= 0.5) === Boolean(value) ? "" : `, but ${other} is expected here`}`;
}

// Times of day, or durations, in seconds.
function clocks(seen, expected, clock) {
  if (clock === "durations") return compared(seen, expected).replace(/^(?!missing)[^,]+|about .*/g, "$& s");
  const [one, other] = [seen, expected].map(time => Number.isNaN(time) ? "missing" : timeOfDay(time));
  return one === other ? `${one}, as expected` : `${one}, expected about ${other}`;
}

const timeOfDay = seconds => new Date(1000 * Math.round(Math.min(86399, Math.max(0, seconds)))).toISOString().slice(11, 19);

function rarity({ levels, counts }, value) {
  const n = counts.reduce((one, other) => one + other, 0), count = counts[levels.indexOf(value)] ?? 0;
  if (!count) return "seen in no training row";
  return `${count <= Math.max(1, Math.floor(n / 100)) ? "rare: " : ""}${count.toLocaleString("en")} of ${n.toLocaleString("en")} training rows`;
}

function ofCategory(column, text, expected) {
  const { levels } = column, value = text || null, said = levels[expected.indexOf(Math.max(...expected))] ?? null;
  if (isRare(column)) return `${worded(value)}, ${rarity(column, value)}`;
  if (value !== null && !levels.includes(value)) return `${worded(value)}, seen in no training row, expected ${worded(said)}`;
  if (value !== said || !levels.includes(value)) return compared(value, said);
  const share = Math.min(1, Math.max(0, expected[levels.indexOf(value)]));
  return `${worded(value)}, ${rarity(column, value)}, expected with probability ${share.toFixed(2)}`;
}

const dayOf = days => new Date(days * 86400e3).toISOString().slice(0, 10);

function momentText(days) {
  const moment = Math.round(days * MICROSECONDS), rest = ((moment % 1e6) + 1e6) % 1e6, part = rest ? `.${String(rest).padStart(6, "0")}` : "";
  return new Date((moment - rest) / 1000).toISOString().slice(0, 19).replace("T", " ").concat(part).replace(/ 00:00:00$/, "");
}

function ofDate({ cycles, median }, days, expected, parts) {
  const value = Number.isNaN(days) ? null : momentText(days), said = dayOf(Math.trunc(Math.min(LAST_DAY, Math.max(FIRST_DAY, expected[0] + median))));
  const sums = cycles.map((_, j) => parts[1 + 2 * j] + parts[2 + 2 * j]), most = sums.indexOf(Math.max(...sums)), cycle = cycles[most];
  if (value === null || !cycles.length || sums[most] <= parts[0]) return compared(value, said);
  const turns = (cycle === "hour" ? days : Math.floor(days)) / LENGTHS[cycle];
  const guess = Math.atan2(expected[1 + 2 * most], expected[2 + 2 * most]) / (2 * Math.PI);
  const [one, other] = [turns, guess].map(turn => placeIn(cycle, turn - Math.floor(turn)));
  return one === other ? `${value}, ${one} is unusual for such a row` : `${value}, ${one}, expected about ${other.replace(/^hour /, "")}`;
}

// A position in a cycle in words, such as hour 03, Sunday, or early July.
function placeIn(cycle, phase) {
  if (cycle === "hour") return `hour ${String(Math.floor(phase * 24 + 1e-6) % 24).padStart(2, "0")}`;
  if (cycle === "weekday") return WEEKDAYS[Math.round(phase * 7) % 7];
  const day = new Date(Date.UTC(2001, 0, 1 + Math.min(364, Math.round(phase * LENGTHS[cycle]))));
  const third = ["early", "mid", "late"][Math.min(2, Math.floor((day.getUTCDate() - 1) / 10))];
  return `${third} ${day.toLocaleString("en", { month: "long", timeZone: "UTC" })}`;
}

// The columns with the largest parts of the score of a row; `values` has its value in each column, and the others are outputs of the graph.
function reasonsIn(values, parts, expected, score, most) {
  const owners = KNOWN.columns.flatMap((column, number) => new Array(WIDTHS[column.kind](column)).fill(number)), n = owners.length;
  const sums = KNOWN.columns.map(() => 0), of = (list, number) => list.slice(owners.indexOf(number), owners.lastIndexOf(number) + 1);
  parts.forEach((part, input) => { sums[owners[input < n ? input : KNOWN.flagged[input - n]]] += part; });
  const order = [...sums.keys()].sort((one, other) => sums[other] - sums[one]).slice(0, most), largest = sums[order[0]];
  const kept = number => sums[number] > 0 && (sums[number] >= LEAST_SHARE * score || sums[number] === largest);
  return order.filter(kept).map(number => {
    const column = KNOWN.columns[number], flag = KNOWN.usual?.flags[number] ?? -1, part = parts[flag] ?? 0;
    const finding = found(column, number, values[number], of(expected, number), of(parts, number), { part, within: flag < n ? part : 0 });
    return `${column.name}: ${finding} (${(100 * sums[number] / score).toFixed(0)} % of the score)`;
  });
}
