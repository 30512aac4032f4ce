// The page. All that it knows of a model is `captioner.js`, which exports two functions:
//
//   load(progress)  -> Promise of {about, facts, local}: two lines of text about the model, and whether pictures stay in
//                      the browser; calls progress(share of 1) meanwhile
//   caption(blob)   -> Promise of {captions: [{text, logprob, end, words: [{word, p, map}]}, ...], grid, view}, best first
//
// `p` is a word's probability, `end` that of the caption's end, `logprob` the sum of their logarithms. Where the decoder
// attends, `map` has its weights for the word, row by row over `grid` = [rows, columns], and `view` = [left, top, width,
// height], in shares of the upright picture, is what the encoder saw; without it, all of it. A rejected promise's
// message is shown.
import { caption, load } from "./captioner.js";

const byId = id => document.getElementById(id);
const [drop, state, result, map] = ["drop", "state", "result", "map"].map(byId);
let asked = 0, answer = null, pinned = null;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children); // text becomes text nodes, never markup
  return element;
}
const percent = p => (p >= .0995 ? Math.round(100 * p) : (100 * p).toPrecision(2)) + " %";

async function start() {
  byId("unserved").hidden = true;
  const offline = await makeOffline();
  byId("progress").hidden = false;
  state.textContent = "Loading the model …";
  const model = await load(share => { byId("progress").value = share; });
  byId("about").textContent = model.about;
  const kept = model.local ? "Pictures stay in this browser." : "Pictures go to the server that this page came from, and are not kept.";
  byId("facts").textContent = [kept, offline && model.local ? "Works offline from now on." : "", model.facts].filter(Boolean).join(" ");
  byId("progress").hidden = true;
  drop.hidden = false;
  state.textContent = "Ready.";
}

// the service worker is there before the model is fetched, so that each file is fetched once and kept
async function makeOffline() {
  if (!navigator.serviceWorker) return false;
  try {
    const updated = navigator.serviceWorker.controller;
    navigator.serviceWorker.addEventListener("controllerchange", () => { if (updated) location.reload(); });
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    if (!navigator.serviceWorker.controller) {
      const claimed = new Promise(done => navigator.serviceWorker.addEventListener("controllerchange", done, { once: true }));
      await Promise.race([claimed, new Promise(done => setTimeout(done, 3000))]);
    }
    return Boolean(navigator.serviceWorker.controller);
  } catch { return false; } // no sw.js beside a page whose model is behind it
}

async function show(blob) {
  const mine = ++asked, picture = byId("picture");
  quiet();
  URL.revokeObjectURL(picture.src);
  picture.src = URL.createObjectURL(blob);
  picture.alt = "The picture that is being captioned";
  result.hidden = false;
  result.setAttribute("aria-busy", "true");
  state.textContent = "Looking …";
  const began = performance.now();
  try {
    const found = await caption(blob);
    if (mine !== asked) return;
    answer = found;
    fill();
    choose(0);
    state.textContent = `${answer.captions[0].text} (${((performance.now() - began) / 1000).toFixed(1)} seconds)`;
  } catch (error) {
    if (mine !== asked) return;
    answer = null;
    result.hidden = true;
    state.textContent = error.message;
  } finally {
    if (mine === asked) result.removeAttribute("aria-busy");
  }
}

function fill() {
  const several = answer.captions.length > 1;
  byId("others-title").hidden = !several;
  byId("others").replaceChildren(...(several ? answer.captions : []).map((one, place) => {
    const button = make("button", "", make("span", "", one.text), make("small", "", percent(Math.exp(one.logprob / (one.words.length + 1)))));
    button.type = "button";
    button.addEventListener("click", () => choose(place));
    return make("li", "", button);
  }));
}

function choose(place) {
  const chosen = answer.captions[place];
  quiet();
  byId("picture").alt = chosen.text;
  byId("caption").replaceChildren(...chosen.words.map(wordElement));
  const attends = chosen.words.some(word => word.map);
  byId("hint").textContent = "Below each word is its probability." + (attends ? " Point at a word, or choose it, to see where the model looked." : "");
  byId("others").querySelectorAll("button").forEach((button, i) => button.setAttribute("aria-pressed", i === place));
}

function wordElement({ word, p, map: weights }) {
  const element = make(weights ? "button" : "span", "w", word, make("small", "", percent(p)));
  element.style.backgroundColor = `rgba(var(--unsure), ${(.6 * (1 - p) ** 1.5).toFixed(3)})`;
  if (weights) {
    element.type = "button";
    element.setAttribute("aria-label", `${word}, ${percent(p)}: show where the model looked`);
    element.setAttribute("aria-pressed", "false");
    const on = () => light(element, weights), off = () => (pinned ? light(pinned.element, pinned.weights) : dark());
    element.addEventListener("pointerenter", on);
    element.addEventListener("pointerleave", off);
    element.addEventListener("focus", on);
    element.addEventListener("blur", off);
    element.addEventListener("click", () => {
      const again = pinned?.element === element;
      quiet();
      if (!again) {
        pinned = { element, weights };
        element.setAttribute("aria-pressed", "true");
        on();
      }
    });
  }
  return element;
}

// black over the picture, the thinner the more the model looked there
function light(element, weights) {
  dark();
  element.classList.add("on");
  const [rows, columns] = answer.grid, veil = new ImageData(columns, rows), most = Math.max(...weights);
  weights.forEach((weight, i) => { veil.data[4 * i + 3] = 205 * (1 - weight / most); });
  Object.assign(map, { width: columns, height: rows });
  map.getContext("2d").putImageData(veil, 0, 0);
  const [left, top, width, height] = (answer.view || [0, 0, 1, 1]).map(share => `${100 * share}%`);
  Object.assign(map.style, { left, top, width, height });
  map.classList.add("lit");
}
function dark() {
  map.classList.remove("lit");
  byId("caption").querySelectorAll(".on").forEach(element => element.classList.remove("on"));
}
function quiet() {
  pinned?.element.setAttribute("aria-pressed", "false");
  pinned = null;
  dark();
}

function take(files) {
  const file = [...files].find(one => one.type.startsWith("image/")) || files[0];
  if (file && !drop.hidden) show(file);
}
byId("choose").addEventListener("click", () => byId("file").click());
for (const id of ["file", "camera"]) {
  byId(id).addEventListener("change", event => { take(event.target.files); event.target.value = ""; });
}
addEventListener("paste", event => take(event.clipboardData.files));
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, event => { event.preventDefault(); drop.classList.add("over"); });
}
addEventListener("dragleave", event => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", event => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); });
addEventListener("keydown", event => { if (event.key === "Escape") quiet(); });

// a phone has a camera of its own behind a file's button; elsewhere the picture comes from a stream
byId("photograph").hidden = !navigator.mediaDevices && !matchMedia("(pointer: coarse)").matches;
byId("photograph").addEventListener("click", async () => {
  if (matchMedia("(pointer: coarse)").matches) return byId("camera").click();
  try {
    byId("video").srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1920 } } });
    byId("viewfinder").showModal();
  } catch (error) { state.textContent = `No camera can be used here (${error.message}); choose a picture.`; }
});
byId("take").addEventListener("click", () => {
  const video = byId("video"), canvas = make("canvas");
  Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  byId("viewfinder").close();
  canvas.toBlob(show, "image/png");
});
byId("cancel").addEventListener("click", () => byId("viewfinder").close());
byId("viewfinder").addEventListener("close", () => byId("video").srcObject?.getTracks().forEach(track => track.stop()));

start().catch(error => { byId("progress").hidden = true; state.textContent = `The model cannot be loaded: ${error.message}`; });
