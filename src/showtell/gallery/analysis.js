const STEP = 48;
const number = value => value.toLocaleString("en");
let order = [], shown = 0, chosen = null; // the row whose examples are shown

function draw(parent, tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  parent.append(element);
  return element;
}

// --- panels
function bar([value, low, high], [least, most]) {
  const holder = make("td", "bar"), svg = draw(holder, "svg", { viewBox: "0 0 64 14", "aria-hidden": true });
  const x = score => 4 + 56 * (score - least) / (most - least || 1);
  draw(svg, "line", { x1: x(low), x2: x(high), y1: 7, y2: 7 });
  draw(svg, "circle", { cx: x(value), cy: 7, r: 4 });
  return holder;
}
function cellElement(text, head) {
  const [value, bounds] = text.split(" [");
  if (bounds) return make("td", "", value, make("small", "", `[${bounds}`));
  return make("td", head === "instead of" ? "words" : "", text);
}
function rowElement(row, panel, range) {
  const [name, ...rest] = row.cells, button = make("button", "", name);
  button.type = "button";
  const cells = rest.map((cell, place) => cellElement(cell, panel.columns[place + 1]));
  const line = make("tr", row.total ? "" : "empty", make("th", row.interval ? "number" : "", button), ...cells, ...(row.interval ? [bar(row.interval, range)] : []));
  if (row.total) line.addEventListener("click", () => choose(chosen?.row === row ? null : { row, panel, line }));
  return line;
}
function panelElement(panel) {
  const intervals = panel.rows.flatMap(row => row.interval ? [row.interval] : []);
  const range = [Math.min(...intervals.map(one => one[1])), Math.max(...intervals.map(one => one[2]))];
  const heads = panel.columns.map(name => make("th", name === "instead of" ? "words" : "", name));
  const head = make("tr", "", ...heads, ...(intervals.length ? [make("th", "", "CIDEr")] : []));
  const box = make("section", "", make("h2", "", panel.title), make("p", "", panel.hint));
  if (!panel.rows.length) {
    box.append(make("p", "", "none found"));
    return box;
  }
  const table = make("table", "", make("thead", "", head), make("tbody", "", ...panel.rows.map(row => rowElement(row, panel, range))));
  box.append(make("div", "scroll", table));
  if (panel.more) box.append(make("p", "", `and ${number(panel.more)} more`));
  return box;
}
function choose(choice) {
  chosen?.line.classList.remove("chosen");
  chosen = choice;
  chosen?.line.classList.add("chosen");
  byId("all").hidden = !chosen;
  if (chosen) {
    const [first, second] = chosen.row.cells;
    const name = chosen.panel.columns[1] === "instead of" ? `${first} instead of ${second}` : first;
    byId("all").lastElementChild.textContent = `${chosen.panel.title}: ${name}`;
  }
  update();
  if (chosen) byId("tools").scrollIntoView({ block: "start" });
}

// --- cards
function pictureElement(picture) {
  const image = make("img");
  Object.assign(image, { loading: "lazy", decoding: "async", width: picture.width, height: picture.height, src: picture.src });
  return image;
}
function card(picture) {
  const article = make("article");
  if (picture.src) {
    const image = pictureElement(picture);
    image.alt = picture.caption;
    const frame = make("span", "frame", image);
    frame.style.aspectRatio = `${picture.width} / ${picture.height}`;
    frame.style.maxWidth = `calc(min(420px, 75vh) * ${picture.width / picture.height})`;
    article.append(make("figure", "", frame));
  }
  const who = make("div", "who", make("b", "", picture.name), make("span", "score", `CIDEr ${picture.cider.toFixed(2)}`));
  const text = make("div", "text", who, make("p", "caption", picture.caption || "(empty)"));
  if (picture.invented?.length) text.append(make("p", "wrong", `not there: ${picture.invented.join(", ")}`));
  text.append(make("ul", "references", ...picture.references.map(reference => make("li", "", reference))));
  if (picture.near) text.append(nearElement(picture.near));
  article.append(text);
  return article;
}
function nearElement(near) {
  const said = make("ul", "", ...near.captions.map(caption => make("li", "", caption)));
  const told = make("div", "", `nearest in training, cosine ${near.cosine.toFixed(3)}: ${near.name}`, said);
  const box = make("div", "near", told);
  if (near.src) {
    const image = pictureElement(near);
    image.alt = near.name;
    box.prepend(image);
  }
  return box;
}
function update() {
  const wanted = byId("query").value.toLowerCase().split(/\s+/).filter(Boolean);
  const pictures = chosen ? chosen.row.pictures.map(place => data.pictures[place]) : data.pictures;
  order = pictures.filter(picture => wanted.every(word => picture.haystack.includes(word)));
  const all = chosen ? chosen.row.total : data.pictures.length;
  byId("count").textContent = order.length === all ? `${number(all)} pictures` : `${number(order.length)} of ${number(all)} pictures`;
  byId("pictures").replaceChildren();
  shown = 0;
  showMore();
}

data.pictures.forEach(picture => { picture.haystack = [picture.name, picture.caption, ...picture.references].join("\n").toLowerCase(); });
byId("subject").textContent = `${data.system} · ${data.subject}`;
byId("summary").append(make("tbody", "", ...data.figures.map(([name, value]) => make("tr", "", make("th", "", name), make("td", "", value)))));
byId("notes").append(...[...data.notes, ...(data.signature ? [`signature: ${data.signature}`] : [])].map(note => make("li", "", note)));
byId("panels").append(...data.panels.map(panelElement));
byId("query").addEventListener("input", update);
byId("all").addEventListener("click", () => choose(null));
byId("more").addEventListener("click", showMore);
update();
new IntersectionObserver(([entry]) => { if (entry.isIntersecting && !byId("more").hidden) showMore(); }, { rootMargin: "800px" }).observe(byId("more"));
