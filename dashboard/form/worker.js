// Keeps the form for when there is no network. It keeps no answer: those wait in the page's own store.
"use strict";
const KEPT = "noctule-ask-__VERSION__";
const NEEDED = ["/ask?lang=en", "/ask?lang=fr", "/ask/form.css?__VERSION__", "/ask/form.js?__VERSION__", "/ask/streets.json"];
const PATIENCE_MS = 5000; // a phone that has one bar of network should not wait longer for what it has

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(NEEDED)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (names) => names.filter((name) => name.startsWith("noctule-ask-") && name !== KEPT);
  event.waitUntil(caches.keys().then((names) => Promise.all(old(names).map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

const inTime = (request) => {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PATIENCE_MS);
  return fetch(request, { signal: stop.signal }).finally(() => clearTimeout(timer));
};

const kept = async (request, address) => {
  const cache = await caches.open(KEPT);
  const exact = await cache.match(request, { ignoreVary: true });
  if (exact || address.pathname !== "/ask") return exact;
  const language = address.searchParams.get("lang") || self.navigator.language.slice(0, 2).toLowerCase();
  return cache.match(`/ask?lang=${language === "fr" ? "fr" : "en"}`, { ignoreVary: true });
};

self.addEventListener("fetch", (event) => {
  const address = new URL(event.request.url);
  const ours = address.origin === self.location.origin && (address.pathname === "/ask" || address.pathname.startsWith("/ask/"));
  if (event.request.method !== "GET" || !ours) return;
  event.respondWith((async () => {
    try {
      const reply = await inTime(event.request);
      if (reply.ok) (await caches.open(KEPT)).put(event.request, reply.clone());
      return reply;
    } catch (error) {
      const found = await kept(event.request, address);
      if (found) return found;
      throw error;
    }
  })());
});
