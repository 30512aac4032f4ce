// Keeps every file of this folder, so that the page works without a network; a new export has a new VERSION.
const HERE = new URL(registration.scope).pathname;
const VERSION = `${HERE} {{VERSION}}`;
const SMALL = ["./", "index.html", "page.css", "page.js", "captioner.js"];

addEventListener("install", event => event.waitUntil((async () => {
  await (await caches.open(VERSION)).addAll(SMALL.map(name => new Request(name, { cache: "reload" })));
  await skipWaiting();
})()));
addEventListener("activate", event => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith(`${HERE} `) && name !== VERSION) await caches.delete(name);
  await clients.claim();
})()));
addEventListener("fetch", event => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || !url.href.startsWith(registration.scope)) return;
  event.respondWith((async () => {
    const cache = await caches.open(VERSION), kept = await cache.match(event.request, { ignoreSearch: true });
    if (kept) return kept;
    const answer = await fetch(event.request);
    if (answer.ok) event.waitUntil(cache.put(event.request, answer.clone()));
    return answer;
  })());
});
