const STEP = 48;
const scored = data.pictures.some(picture => picture.told.some(told => "cider" in told.scores));
const several = data.systems.length > 1;
const facts = new WeakMap(); // of a word's element: the word, its caption, the picture's frame
let order = [], shown = 0;


const percent = p => (p >= .0995 ? Math.round(100 * p) : (100 * p).toPrecision(2)) + " %";
const hue = place => several ? `hsl(${(215 + 137 * place) % 360} 55% 50%)` : "inherit";
const blankBefore = (word, place) => place && !word.glued ? " " : "";
const textOf = caption => caption.words.map((word, i) => blankBefore(word, i) + word.text).join("");

// what pictures are sorted by: of one system, or the mean of all
function over(picture, measure) {
  const by = byId("by").value;
  const told = by === "" ? picture.told : [picture.told[by]];
  return told.reduce((sum, one) => sum + measure(one), 0) / told.length;
}
const cider = picture => over(picture, told => told.scores.cider ?? 0);
const words = picture => over(picture, told => told.captions[0].words.length);
const certainty = picture => over(picture, told => {
  const all = told.captions[0].words;
  return all.reduce((sum, word) => sum + Math.log(Math.max(word.p, 1e-9)), 0) / Math.max(1, all.length);
});
const spread = picture => {
  const values = picture.told.map(told => told.scores.cider ?? 0);
  return Math.max(...values) - Math.min(...values);
};
const SORTS = {
  ...(scored && {
    worst: ["worst CIDEr first", (a, b) => cider(a) - cider(b)],
    best: ["best CIDEr first", (a, b) => cider(b) - cider(a)],
  }),
  ...(scored && several && { apart: ["largest difference first", (a, b) => spread(b) - spread(a)] }),
  given: ["as given", () => 0],
  name: ["by name", (a, b) => a.name.localeCompare(b.name, "en", { numeric: true })],
  unsure: ["least sure first", (a, b) => certainty(a) - certainty(b)],
  longest: ["longest first", (a, b) => words(b) - words(a)],
  shortest: ["shortest first", (a, b) => words(a) - words(b)],
};

function haystack(picture) {
  const said = picture.told.flatMap(told => told.captions.map(textOf));
  return [picture.name, ...said, ...picture.references].join("\n").toLowerCase();
}
data.pictures.forEach(picture => { picture.haystack = haystack(picture); });

function wordElement(word, caption, frame) {
  const element = make("span", word.map ? "w mapped" : "w", word.text);
  element.style.backgroundColor = `rgba(var(--unsure), ${(.6 * (1 - word.p) ** 1.5).toFixed(3)})`;
  facts.set(element, { word, caption, frame });
  return element;
}

function captionElement(caption, frame) {
  const line = make("p", "caption");
  caption.words.forEach((word, i) => line.append(blankBefore(word, i), wordElement(word, caption, frame)));
  if ("end" in caption) {
    const end = make("span", "w end", "■");
    facts.set(end, { word: { text: "end of caption", p: caption.end }, caption, frame });
    line.append("\u00a0", end); // no break before it
  }
  return line;
}

function toldElement(told, place, frame) {
  const box = make("div", "told");
  const score = "cider" in told.scores ? "CIDEr " + told.scores.cider.toFixed(2) : "";
  const who = make("b", "", several ? data.systems[place][0] : "");
  who.style.setProperty("--hue", hue(place));
  if (several || score) box.append(make("div", "who", who, make("span", "score", score)));
  const [first, ...rest] = told.captions;
  box.append(captionElement(first, frame));
  if (rest.length) {
    box.append(make("details", "", make("summary", "", `${rest.length} more`), ...rest.map(one => captionElement(one, frame))));
  }
  return box;
}

function card(picture) {
  const image = make("img");
  Object.assign(image, { loading: "lazy", decoding: "async", width: picture.width, height: picture.height, src: picture.src });
  image.alt = textOf(picture.told[0].captions[0]);
  const frame = make("span", "frame", image, make("canvas"));
  frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
  // a tall picture keeps its shape within the card
  frame.style.maxWidth = `calc(min(420px, 75vh) * ${picture.width / picture.height})`;
  const text = make("div", "text", make("p", "name", picture.name));
  picture.told.forEach((told, place) => text.append(toldElement(told, place, frame)));
  if (picture.references.length) {
    text.append(make("ul", "references", ...picture.references.map(reference => make("li", "", reference))));
  }
  return make("article", "", make("figure", "", frame), text);
}

function update() {
  const wanted = byId("query").value.toLowerCase().split(/\s+/).filter(Boolean);
  order = data.pictures.filter(picture => wanted.every(word => picture.haystack.includes(word)));
  order.sort(SORTS[byId("sort").value][1]);
  const all = data.pictures.length;
  byId("count").textContent = order.length === all ? `${all} pictures` : `${order.length} of ${all} pictures`;
  byId("pictures").replaceChildren();
  quiet();
  shown = 0;
  showMore();
  remember();
}

// the view is part of the address, so that it can be reloaded and linked to
function remember() {
  const view = new URLSearchParams();
  for (const id of ["query", "sort", "by"]) if (byId(id).value) view.set(id, byId(id).value);
  try { history.replaceState(null, "", "#" + view); } catch { /* some browsers refuse this for local files */ }
}
function recall() {
  const view = new URLSearchParams(location.hash.slice(1));
  for (const id of ["query", "sort", "by"]) {
    const value = view.get(id);
    if (value !== null && (id === "query" || [...byId(id).options].some(option => option.value === value))) byId(id).value = value;
  }
}

// a word that is pointed at or tapped: its probability and, where there is a map, the region
let lit = null;
function quiet() {
  byId("tip").hidden = true;
  if (!lit) return;
  lit.classList.remove("on");
  facts.get(lit).frame.classList.remove("lit");
  lit = null;
}
function point(element) {
  quiet();
  const { word, caption, frame } = facts.get(element);
  lit = element;
  element.classList.add("on");
  const tip = byId("tip"), box = element.getBoundingClientRect();
  tip.textContent = `${word.text}: ${percent(word.p)}`;
  tip.hidden = false;
  const half = tip.offsetWidth / 2 + 4, width = document.documentElement.clientWidth;
  tip.style.left = Math.max(half, Math.min(width - half, box.left + box.width / 2)) + scrollX + "px";
  tip.style.top = box.top + scrollY + "px";
  if (word.map) light(frame, word.map, caption.grid);
}
function light(frame, map, [rows, columns]) {
  const weights = atob(map), canvas = frame.querySelector("canvas");
  Object.assign(canvas, { width: columns, height: rows });
  const veil = new ImageData(columns, rows); // black, the thinner the more the model looked there
  for (let i = 0; i < weights.length; i++) veil.data[4 * i + 3] = .8 * (255 - weights.charCodeAt(i));
  canvas.getContext("2d").putImageData(veil, 0, 0);
  frame.classList.add("lit");
}

function fillHeader() {
  byId("subject").textContent = data.subject;
  const heads = data.figures.map(([name]) => make("th", name.length > 12 ? "long" : "", name));
  const rows = data.systems.map(([label], place) => {
    const name = make("th", "", make("b", "", label));
    name.style.setProperty("--hue", hue(place));
    const cells = data.figures.map(row => Object.assign(make("td", "", row[1 + place].replace(/ (?=\[|p [=<])/g, "\n")), { title: row[0] }));
    return make("tr", "", name, ...cells);
  });
  byId("figures").append(make("thead", "", make("tr", "", make("th"), ...heads)), make("tbody", "", ...rows));
  const notes = [...data.notes, ...data.systems.map(([label, description]) => `${label}: ${description}`)];
  notes.push("■ is the end of a caption, a choice with a probability like any word. A picture's CIDEr is that of its first caption.");
  byId("notes").append(...notes.map(note => make("li", "", note)));
  byId("sort").append(...Object.entries(SORTS).map(([key, [label]]) => new Option(label, key)));
  byId("by").append(new Option("all", ""), ...data.systems.map(([label], place) => new Option(label, place)));
  byId("by-label").hidden = !several;
}

fillHeader();
recall();
update();
byId("query").addEventListener("input", update);
byId("sort").addEventListener("change", update);
byId("by").addEventListener("change", update);
byId("more").addEventListener("click", showMore);
byId("pictures").addEventListener("pointerover", event => {
  if (event.pointerType === "mouse" && facts.has(event.target)) point(event.target);
});
byId("pictures").addEventListener("pointerout", event => { if (event.pointerType === "mouse") quiet(); });
document.addEventListener("click", event => { if (facts.has(event.target)) point(event.target); else quiet(); });
new IntersectionObserver(([entry]) => { if (entry.isIntersecting && !byId("more").hidden) showMore(); }, { rootMargin: "800px" }).observe(byId("more"));

