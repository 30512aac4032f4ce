const KEY = `showtell.rate.${data.page}`;
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "equal", ArrowUp: "back", Backspace: "back" };

// --- what was rated; kept by the browser, so that the page can be closed
let keeps = true;
function recalled() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    if (kept && typeof kept.answers === "object") return kept;
  } catch { /* nothing is kept, or nothing that can be read */ }
  return { answers: {}, session: Math.random().toString(36).slice(2) + Date.now().toString(36), rater: "" };
}
function keep() {
  try { localStorage.setItem(KEY, JSON.stringify(state)); keeps = true; } catch { keeps = false; }
}
const state = recalled();
const rated = () => Object.keys(state.answers).length;
const firstOpen = () => {
  const open = data.items.findIndex((_, place) => !(place in state.answers));
  return open < 0 ? data.items.length : open;
};
let at = firstOpen();

function show() {
  const item = data.items[at], answer = state.answers[at];
  byId("task").hidden = !item;
  byId("done").hidden = !!item;
  if (item) {
    const image = make("img");
    Object.assign(image, { width: item.width, height: item.height, src: item.src, alt: "the picture" });
    byId("picture").replaceChildren(image);
    ["left", "right"].forEach((side, place) => { byId(side).firstElementChild.textContent = item.captions[place] || "(no caption)"; });
  }
  for (const choice of ["left", "right", "equal"]) byId(choice).classList.toggle("on", answer === choice);
  byId("back").disabled = at === 0;
  byId("progress").value = rated();
  byId("progress").max = data.items.length;
  byId("count").textContent = `${rated()} of ${data.items.length} rated`;
  byId("kept").textContent = keeps
    ? "This browser keeps what you have rated: you can close the page and go on later."
    : "This browser keeps nothing for this page: save before you close it.";
}
function act(choice) {
  if (choice === "back") at = Math.max(0, at - 1);
  else if (at < data.items.length) {
    state.answers[at] = choice;
    at += 1;
    keep();
  }
  show();
}
function save() {
  state.rater = byId("rater").value.trim();
  keep();
  const content = { kind: "showtell ratings", page: data.page, seal: data.seal, rater: state.rater, session: state.session, saved: new Date().toISOString(), answers: state.answers };
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = `ratings-${state.rater.replace(/[^\p{L}\p{N}]+/gu, "_") || state.session.slice(0, 6)}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

byId("told").textContent = "Look at the picture and choose the caption that describes it better. Which side is whose changes from picture to picture."
  + (data.identical ? ` ${data.identical} more pictures have the same caption twice; they are not asked about.` : "");
byId("rater").value = state.rater;
for (const id of ["left", "right", "equal", "back"]) byId(id).addEventListener("click", () => act(id));
byId("save").addEventListener("click", save);
byId("rater").addEventListener("input", () => { state.rater = byId("rater").value; keep(); });
document.addEventListener("keydown", event => {
  const choice = KEYS[event.key];
  if (!choice || event.target === byId("rater") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  event.preventDefault();
  act(choice);
});
keep();
show();
