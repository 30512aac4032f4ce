// What the page knows of a model (see page.js), here one that runs in this browser: in a worker, so that the page lives.
// The worker starts with `load`, when the service worker is there, so that its files are kept too.
const waiting = new Map();
let worker, last = 0;

function answered({ data: { number, error, value } }) {
  const { resolve, reject } = waiting.get(number);
  waiting.delete(number);
  if (error) reject(new Error(error));
  else resolve(value);
}
function ask(question, blob) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    worker.postMessage({ number: last, question, blob });
  });
}
export function load(progress) {
  worker = new Worker("worker.js", { type: "module" });
  worker.addEventListener("message", event => (event.data.progress === undefined ? answered(event) : progress(event.data.progress)));
  worker.addEventListener("error", event => waiting.forEach(({ reject }) => reject(new Error(event.message || "its worker does not start"))));
  return ask("load");
}
export const caption = blob => ask("caption", blob);
