"use strict";
const byId = id => document.getElementById(id);

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children); // text becomes text nodes, never markup
  return element;
}

async function caption(picture) {
  try {
    return await (await fetch("caption", { method: "POST", body: picture })).json();
  } catch {
    return { error: "the server does not answer; is it still running?" };
  }
}

// dark where the model did not look
function light(canvas, weights, grid) {
  const [rows, columns] = grid, small = new OffscreenCanvas(columns, rows), most = Math.max(...weights);
  const pixels = new ImageData(columns, rows);
  weights.forEach((weight, i) => { pixels.data[4 * i + 3] = 190 * (1 - weight / most); });
  small.getContext("2d").putImageData(pixels, 0, 0);
  canvas.width = canvas.clientWidth;
  canvas.height = canvas.clientHeight;
  canvas.getContext("2d").drawImage(small, 0, 0, canvas.width, canvas.height);
}

function wordElement(word, grid, canvas, fact) {
  const element = make("button", "", word.word);
  const sure = `${word.word}: ${(100 * word.p).toPrecision(2)} %`;
  element.style.backgroundColor = `rgba(var(--unsure), ${(.6 * (1 - word.p) ** 1.5).toFixed(3)})`;
  element.ariaLabel = sure;
  const show = () => { fact.textContent = sure; if (word.map) light(canvas, word.map, grid); };
  const hide = () => { fact.textContent = ""; canvas.width = 0; };
  element.addEventListener("pointerenter", show);
  element.addEventListener("focus", show);
  element.addEventListener("pointerleave", hide);
  element.addEventListener("blur", hide);
  return element;
}

function captionElement(told, grid, canvas, fact) {
  const line = make("p", "caption");
  told.words.forEach((word, i) => line.append(i ? " " : "", wordElement(word, grid, canvas, fact)));
  return line;
}

async function add(picture) {
  const image = make("img"), canvas = make("canvas"), fact = make("p", "fact");
  image.src = URL.createObjectURL(picture);
  image.alt = "";
  const text = make("div", "text", make("p", "name", picture.name || "pasted picture"), make("p", "caption", "…"));
  const card = make("article", "", make("figure", "", image, canvas), text);
  byId("told").prepend(card);
  const answer = await caption(picture);
  text.lastChild.remove();
  if (answer.error) {
    image.hidden = !image.naturalWidth;
    text.append(make("p", "error", answer.error));
    return;
  }
  image.alt = answer.captions[0].text;
  text.append(...answer.captions.map(told => captionElement(told, answer.grid, canvas, fact)), fact);
  byId("hint").hidden = false;
}

const take = files => [...files].forEach(add);
const drop = byId("drop"), choose = byId("choose");
choose.addEventListener("change", () => { take(choose.files); choose.value = ""; });
document.addEventListener("paste", event => take(event.clipboardData.files));
document.addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", event => {
  event.preventDefault();
  drop.classList.remove("over");
  take(event.dataTransfer.files);
});
