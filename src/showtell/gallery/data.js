const STEP = 48, LISTED = 150, THRESHOLDS = [1, 2, 3, 4, 5, 6, 8, 10, 20];
const COLORS = ["var(--first)", "var(--second)", "var(--third)"];
const [train] = data.splits;
let order = [], shown = 0;

function draw(parent, tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  parent.append(element);
  return element;
}
const number = value => value.toLocaleString("en");
const percent = share => (100 * share).toFixed(share && share < .1 ? 2 : 1) + " %";
const sum = values => values.reduce((total, value) => total + value, 0);
const row = (...cells) => make("tr", "", ...cells.map((cell, place) => make(place ? "td" : "th", "", cell)));

// --- what a threshold makes of the words; counts: [occurrences in training, words, occurrences elsewhere]
const trainTotal = sum(data.counts.map(([count, words]) => count * words));
const otherTotal = sum(data.counts.map(([, , other]) => other));
function at(threshold) {
  const below = data.counts.filter(([count]) => count < threshold);
  const dropped = sum(below.filter(([count]) => count).map(([, words]) => words));
  return {
    dropped,
    kept: sum(data.counts.filter(([count]) => count).map(([, words]) => words)) - dropped,
    train: sum(below.map(([count, words]) => count * words)) / (trainTotal || 1),
    other: sum(below.map(([, , other]) => other)) / (otherTotal || 1),
  };
}
const threshold = () => Math.max(1, Math.round(+byId("threshold").value) || 1);

function fillVocabulary() {
  const chosen = threshold(), now = at(chosen), others = data.splits.slice(1).map(split => split.name).join(" + ");
  byId("verdict").textContent = `${number(now.kept)} words kept, ${number(now.dropped)} become <unk>`;
  const rows = [...new Set([...THRESHOLDS, data.threshold, chosen])].sort((a, b) => a - b).map(value => {
    const found = at(value);
    const line = row(`${value}${value === data.threshold ? " (set)" : ""}`, number(found.kept), number(found.dropped), percent(found.train), ...(others ? [percent(found.other)] : []));
    line.classList.toggle("chosen", value === chosen);
    line.addEventListener("click", () => { byId("threshold").value = value; changeThreshold(); });
    return line;
  });
  const head = make("tr", "", ...["threshold", "words", "dropped", `<unk> ${train.name}`, ...(others ? [`<unk> ${others}`] : [])].map(name => make("th", "", name)));
  byId("thresholds").replaceChildren(make("thead", "", head), make("tbody", "", ...rows));
}

function fillWords() {
  const chosen = threshold(), kept = data.words.filter(([, count]) => count >= chosen), which = byId("which").value;
  const dropped = data.words.filter(([, count]) => count < chosen);
  const listed = { kept, edge: kept.toReversed(), dropped }[which];
  const total = which === "dropped" ? at(chosen).dropped : at(chosen).kept;
  const chips = listed.slice(0, LISTED).map(([word, count]) => {
    const chip = make("button", "", word, " ", make("small", "", number(count)));
    chip.type = "button";
    chip.addEventListener("click", () => { byId("query").value = `"${word}"`; update(); });
    return chip;
  });
  if (total > chips.length) chips.push(make("span", "hint", `and ${number(total - chips.length)} more`));
  byId("words").replaceChildren(...(chips.length ? chips : [make("span", "hint", "none")]));
}

// --- plots
const WIDTH = 560, HEIGHT = 240, LEFT = 56, BOTTOM = 210, TOP = 12;
function plot(id, label) {
  const svg = draw(document.createElement("div"), "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label });
  draw(svg, "line", { class: "axis", x1: LEFT, x2: WIDTH, y1: BOTTOM, y2: BOTTOM });
  byId(id).replaceChildren(svg);
  return svg;
}
const tick = (svg, x, y, text, anchor) => draw(svg, "text", { x, y, "text-anchor": anchor }, text);

function plotLengths() {
  const longest = Math.max(1, ...data.splits.flatMap(split => split.lengths.map(([length]) => length)));
  const all = data.splits.flatMap(split => split.lengths).sort((a, b) => a[0] - b[0]);
  let left = .995 * sum(all.map(([, count]) => count)), most = longest; // what few captions reach shares the last bar
  for (const [length, count] of all) { left -= count; if (left <= 0) { most = length; break; } }
  const wide = Math.ceil((most + 1) / 30), bins = Math.floor(most / wide) + 1;
  const shares = data.splits.map(split => {
    const bars = Array(bins).fill(0), total = sum(split.lengths.map(([, count]) => count)) || 1;
    for (const [length, count] of split.lengths) bars[Math.min(bins - 1, Math.floor(length / wide))] += count;
    return bars.map(count => [count, count / total]);
  });
  const highest = Math.max(...shares.flat().map(([, share]) => share)) || 1;
  const svg = plot("lengths", "Captions by their number of words"), step = (WIDTH - LEFT) / bins, bar = .84 * step / shares.length;
  shares.forEach((bars, place) => bars.forEach(([count, share], bin) => {
    if (!count) return;
    const height = Math.max(1, share / highest * (BOTTOM - TOP));
    const from = bin * wide, to = bin === bins - 1 ? longest : from + wide - 1;
    const mark = draw(svg, "rect", { class: "bar", x: LEFT + bin * step + .08 * step + place * bar, y: BOTTOM - height, width: bar, height, fill: COLORS[place % 3] });
    draw(mark, "title", {}, `${data.splits[place].name}: ${number(count)} captions of ${from === to ? from : `${from} to ${to}`} words (${percent(share)})`);
    mark.addEventListener("click", () => { byId("from").value = from; byId("to").value = to; update(); });
  }));
  for (let bin = 0; bin < bins; bin += Math.ceil(bins / 10)) tick(svg, LEFT + (bin + .5) * step, BOTTOM + 16, bin * wide + (bin === bins - 1 && longest > bin * wide ? "+" : ""), "middle");
  tick(svg, LEFT - 6, TOP + 8, percent(highest), "end");
  tick(svg, LEFT - 6, BOTTOM, "0", "end");
  if (data.maxWords < most) {
    const x = LEFT + (data.maxWords / wide + 1) * step;
    draw(svg, "line", { class: "limit", x1: x, x2: x, y1: TOP, y2: BOTTOM });
  }
  const keys = data.splits.flatMap((split, place) => {
    const key = make("span", "key");
    key.style.background = COLORS[place % 3];
    return [key, split.name];
  });
  byId("lengths").append(make("div", "hint", "share of the captions; click a bar to see them", ...keys));
}

function plotRanks() {
  const steps = data.counts.filter(([count]) => count).toReversed();
  const svg = plot("ranks", "Words by rank and number of occurrences, both logarithmic");
  if (!steps.length) return;
  const words = sum(steps.map(([, many]) => many)), top = Math.max(2, steps[0][0]);
  const x = rank => LEFT + Math.log(rank) / Math.log(Math.max(2, words)) * (WIDTH - LEFT - 8);
  const y = count => BOTTOM - Math.log(count) / Math.log(top) * (BOTTOM - TOP);
  let rank = 0, path = "";
  for (const [count, many] of steps) {
    path += `${path ? "L" : "M"}${x(rank + 1).toFixed(1)} ${y(count).toFixed(1)}L${x(rank + many).toFixed(1)} ${y(count).toFixed(1)}`;
    rank += many;
  }
  for (let ten = 1; ten <= top; ten *= 10) {
    tick(svg, LEFT - 6, y(ten) + 4, number(ten), "end");
    draw(svg, "line", { class: "axis", x1: LEFT, x2: WIDTH, y1: y(ten), y2: y(ten) });
  }
  for (let ten = 1; ten <= words; ten *= 10) tick(svg, x(ten), BOTTOM + 16, number(ten), "middle");
  const { kept } = at(threshold());
  draw(svg, "rect", { x: x(Math.max(1, kept)), y: TOP, width: Math.max(0, x(words) - x(Math.max(1, kept))), height: BOTTOM - TOP, fill: "rgba(var(--unsure), .16)" });
  draw(svg, "path", { class: "curve", d: path });
  const height = y(Math.min(top, threshold()));
  draw(svg, "line", { class: "limit", x1: LEFT, x2: WIDTH, y1: height, y2: height });
  byId("ranks").append(make("div", "hint", "occurrences of each training word by its rank, both logarithmic; shaded: becomes <unk>"));
}

// --- filter: each word must begin a word of the caption, or be one, in quotes
const LETTER = "[\\p{L}\\p{N}\\p{M}]";
const NO_BLANKS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
function wanted() {
  const found = byId("query").value.toLowerCase().match(/"[^"]+"|\S+/g) ?? [];
  return found.map(word => {
    const bare = word.replace(/^"(.+)"$/, "$1"), literal = bare.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const inside = NO_BLANKS.test(bare) || !/[\p{L}\p{N}]/u.test(bare);
    return new RegExp(inside ? literal : `(?<!${LETTER})${literal}${bare === word ? "" : `(?!${LETTER})`}`, "u");
  });
}
function fits(caption, words, from, to) {
  return caption[1] >= from && caption[1] <= to && words.every(word => word.test(caption[0].toLowerCase()));
}

// --- cards
function captionElement([text, length, places], on, limit) {
  const line = make("li", on ? "" : "off"), signs = Array.from(text); // places count characters, not UTF-16
  let done = 0;
  for (let i = 0; i < places.length; i += 3) {
    const [start, end, count] = places.slice(i, i + 3);
    if (count >= limit) continue;
    const word = make("span", count < 0 ? "cut" : "unk", signs.slice(start, end).join(""));
    word.title = count < 0 ? "cut off in training" : `${count ? `only ${count} in training` : "not in training"}: becomes <unk>`;
    line.append(signs.slice(done, start).join(""), word);
    done = end;
  }
  line.append(signs.slice(done).join(""));
  line.title = `${length} words`;
  return line;
}
function card(picture) {
  const figure = make("figure", "");
  if (picture.src) {
    const image = make("img");
    Object.assign(image, { loading: "lazy", decoding: "async", width: picture.width, height: picture.height, src: picture.src, alt: picture.captions[0]?.[0] ?? "" });
    const frame = make("span", "frame", image);
    frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
    frame.style.maxWidth = `calc(min(420px, 75vh) * ${picture.width / picture.height})`;
    figure.append(frame);
  } else figure.append(make("span", "missing", "no picture to show"));
  const limit = threshold(), [words, from, to] = view;
  const lines = picture.captions.map(caption => captionElement(caption, picture.named || fits(caption, words, from, to), limit));
  if (picture.more) lines.push(make("li", "cut", `and ${number(picture.more)} more captions`));
  const text = make("div", "text", make("p", "name", `${picture.split} · ${picture.name}`), make("ul", "captions", ...lines));
  return make("article", "", figure, text);
}
const longest = picture => Math.max(0, ...picture.captions.map(caption => caption[1]));
const shortest = picture => Math.min(1e9, ...picture.captions.map(caption => caption[1]));
const rarest = picture => Math.min(1e9, ...picture.captions.flatMap(([, , places]) => places.filter((_, i) => i % 3 === 2 && places[i] >= 0)));
const SORTS = {
  given: ["as given", () => 0],
  name: ["by name", (a, b) => a.name.localeCompare(b.name, "en", { numeric: true })],
  longest: ["longest caption", (a, b) => longest(b) - longest(a)],
  shortest: ["shortest caption", (a, b) => shortest(a) - shortest(b)],
  rare: ["rarest word", (a, b) => rarest(a) - rarest(b)],
};
let view = [[], 0, Infinity];
function update() {
  const bound = (id, otherwise) => byId(id).value === "" ? otherwise : +byId(id).value;
  const [words, from, to] = view = [wanted(), bound("from", 0), bound("to", Infinity)];
  const split = byId("split").value, query = byId("query").value.trim().toLowerCase();
  const bounded = byId("from").value !== "" || byId("to").value !== "";
  for (const picture of data.pictures) picture.named = !bounded && (!query || picture.name.toLowerCase().includes(query));
  order = data.pictures.filter(picture => (!split || picture.split === split)
    && (picture.named || picture.captions.some(caption => fits(caption, words, from, to))));
  order.sort(SORTS[byId("sort").value][1]);
  const all = data.pictures.length;
  byId("count").textContent = order.length === all ? `${number(all)} pictures` : `${number(order.length)} of ${number(all)} pictures`;
  byId("pictures").replaceChildren();
  shown = 0;
  showMore();
}
function changeThreshold() {
  fillVocabulary();
  fillWords();
  plotRanks();
  update();
}

function fillSplits() {
  const median = lengths => {
    let rest = sum(lengths.map(([, count]) => count)) / 2;
    for (const [length, count] of lengths) { rest -= count; if (rest <= 0) return length; }
    return 0;
  };
  const facts = {
    "pictures": split => number(split.pictures),
    "shown here": split => number(split.shown),
    "captions": split => number(sum(split.lengths.map(([, count]) => count))),
    "captions per picture": split => (sum(split.lengths.map(([, count]) => count)) / Math.max(1, split.pictures)).toFixed(2),
    "words, median": split => number(median(split.lengths)),
    "words, most": split => number(split.lengths.at(-1)?.[0] ?? 0),
    [`cut after ${data.maxWords} words`]: split => number(sum(split.lengths.filter(([length]) => length > data.maxWords).map(([, count]) => count))),
    "left out": split => number(split.leftOut),
    "unreadable, of those shown": split => number(split.unreadable),
  };
  const head = make("tr", "", make("th"), ...data.splits.map(split => make("th", "", split.name)));
  const rows = Object.entries(facts).map(([name, tell]) => row(name, ...data.splits.map(tell)));
  byId("splits").append(make("thead", "", head), make("tbody", "", ...rows));
  for (const split of data.splits.filter(split => split.lines.length)) {
    const many = split.leftOut + split.unreadable, rest = many - split.lines.length;
    const lines = split.lines.map(line => make("li", "", line));
    if (rest) lines.push(make("li", "", `and ${number(rest)} more: python -m showtell.data check`));
    byId("left-out").append(make("details", "", make("summary", "", `${split.name}: ${number(many)} left out, shortened or unreadable`), make("ul", "", ...lines)));
  }
  byId("split").append(...[...new Set(data.pictures.map(picture => picture.split))].map(name => new Option(name, name)));
  byId("warnings").append(...data.notes.map(note => make("li", "", note)));
  byId("tokenizer").textContent = `of the ${train.name} captions, vocab.tokenizer=${data.tokenizer}`;
  byId("sort").append(...Object.entries(SORTS).map(([key, [label]]) => new Option(label, key)));
  byId("threshold").value = data.threshold;
}

fillSplits();
plotLengths();
changeThreshold();
for (const id of ["query", "from", "to"]) byId(id).addEventListener("input", update);
for (const id of ["split", "sort"]) byId(id).addEventListener("change", update);
byId("threshold").addEventListener("input", changeThreshold);
byId("which").addEventListener("change", fillWords);
byId("more").addEventListener("click", showMore);
new IntersectionObserver(([entry]) => { if (entry.isIntersecting && !byId("more").hidden) showMore(); }, { rootMargin: "800px" }).observe(byId("more"));
