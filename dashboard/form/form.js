// The form on a phone: answers wait here without a network and are sent when it is back; receipts stay on the phone.
"use strict";
(() => {
  const say = JSON.parse(document.getElementById("words").textContent);
  const find = (id) => document.getElementById(id);
  const form = find("form"), language = document.documentElement.lang;
  const WAITING = "noctule-waiting", RECEIPTS = "noctule-receipts", PHONE = "noctule-phone";
  const MOST = 200; // answers or receipts on one phone; a browser keeps megabytes, nobody gives as many

  // A browser that keeps nothing (private windows may not) still sends.
  const read = (key, otherwise) => {
    try { const kept = JSON.parse(localStorage.getItem(key)); return kept === null ? otherwise : kept; } catch { return otherwise; }
  };
  const keep = (key, value) => {
    try { localStorage.setItem(key, JSON.stringify(value)); return true; } catch { return false; }
  };
  const list = (key) => { const kept = read(key, []); return Array.isArray(kept) ? kept : []; };
  const word = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  const minutes = () => Math.floor(Date.now() / 60000) * 60000;

  // A word for this phone that lasts a month: two answers of one phone are one person's, and nobody can follow it.
  const phone = (anew) => {
    const month = new Date().toISOString().slice(0, 7);
    const kept = read(PHONE, {});
    if (!anew && kept.month === month && kept.word) return kept.word;
    const fresh = { month, word: word() };
    keep(PHONE, fresh);
    return fresh.word;
  };

  const text = (name, values = {}) => say[name].replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
  const button = (label, act) => {
    const made = document.createElement("button");
    made.type = "button"; made.className = "plain"; made.textContent = label; made.addEventListener("click", act);
    return made;
  };
  const row = (...parts) => {
    const item = document.createElement("li");
    item.append(...parts);
    return item;
  };
  const span = (said, name) => {
    const made = document.createElement(name ? "strong" : "span");
    if (name) made.className = name;
    made.textContent = said;
    return made;
  };
  const clock = (ms) => new Date(ms).toLocaleString(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

  const show = () => {
    const waiting = list(WAITING), receipts = list(RECEIPTS);
    const n = waiting.length;
    find("waiting").hidden = !n;
    find("count").textContent = n === 1 ? text("waits.one") : n ? text("waits.many", { count: n }) : text("waits.none");
    find("queue").replaceChildren(...waiting.map((one) => row(
      span(clock(one.at) + (one.wrong ? ` – ${text("refused")}: ${one.wrong}` : "")),
      button(text("delete"), () => { keep(WAITING, list(WAITING).filter((other) => other.id !== one.id)); show(); }))));
    find("mine").hidden = !receipts.length;
    find("receipts").replaceChildren(...receipts.slice().reverse().map((one) => row(
      span(one.code, "code"), span(one.kept || clock(one.at)),
      one.erased ? span(text("erased")) : button(text("erase"), () => erase(one.code)))));
  };

  const post = (to, fields) => fetch(to, {
    method: "POST", headers: { "content-type": "application/json", accept: "application/json" },
    body: JSON.stringify(fields), credentials: "same-origin", cache: "no-store",
  });

  // One at a time: two tabs must not send the same ones, and a second sending would be no second answer.
  const sendWaiting = async () => {
    let sent = 0;
    for (const one of list(WAITING)) {
      if (one.wrong) continue;
      const waited = Math.max(0, (Date.now() - one.at) / 1000);
      let reply, said;
      try {
        reply = await post("/ask", { ...one.fields, lang: language, waited_s: String(waited < 90 ? 0 : Math.round(waited)) });
        said = await reply.json();
      } catch { break; }
      if (reply.ok && said.receipt) {
        keep(RECEIPTS, [...list(RECEIPTS), { code: said.receipt, kept: said.kept, at: one.at }].slice(-MOST));
        keep(WAITING, list(WAITING).filter((other) => other.id !== one.id));
        sent += 1;
      } else if (reply.status === 400) {
        keep(WAITING, list(WAITING).map((other) => (other.id === one.id ? { ...other, wrong: said.error, field: said.field } : other)));
      } else { break; } // too many just now, or the city's computer is busy: later
    }
    show();
    return sent;
  };
  let sending = null;
  const send = () => {
    const work = () => sendWaiting();
    sending = sending || (navigator.locks ? navigator.locks.request("noctule-send", work) : work()).finally(() => { sending = null; });
    return sending;
  };

  const erase = async (code) => {
    const note = find("erasenote");
    note.textContent = text("erasing");
    try {
      const reply = await post("/ask/erase", { receipt: code, lang: language });
      const said = await reply.json();
      note.textContent = reply.ok ? said.erased : said.error;
      if (reply.ok) {
        const plain = (one) => one.toUpperCase().replace(/[^0-9A-Z]/g, "");
        keep(RECEIPTS, list(RECEIPTS).map((one) => (plain(one.code) === plain(code) ? { ...one, erased: true } : one)));
        show();
      }
    } catch { note.textContent = text("offline"); }
  };

  const tell = (said, field) => {
    const problem = find("problem");
    problem.textContent = said; problem.hidden = !said;
    if (!said) return;
    const named = field && form.elements[field];
    const target = named && (named.length && !named.options ? named[0] : named);
    if (target && target.type !== "hidden") { target.closest("details")?.setAttribute("open", ""); target.focus(); } else { problem.scrollIntoView({ block: "center" }); }
  };

  if (form) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      tell("");
      const wrong = Array.from(form.elements).find((one) => one.willValidate && !one.checkValidity());
      if (wrong) { tell(text(wrong.name === "consent" ? "wrong.consent" : "wrong.category"), wrong.name); return; }
      const fields = Object.fromEntries(Array.from(new FormData(form)).filter(([, value]) => value !== ""));
      delete fields.lang;
      fields.id = word(); fields.phone = phone(false);
      if (!fields.stop && !fields.street && !(fields.lat && fields.lon)) { tell(text("unlocated"), "street"); return; }
      const one = { id: fields.id, at: minutes(), fields };
      const stored = list(WAITING).length < MOST && keep(WAITING, [...list(WAITING), one]);
      if (!stored) { tell(text("notstored")); return; }
      show();
      const press = form.querySelector("button.send");
      press.disabled = true;
      const sent = await send().finally(() => { press.disabled = false; });
      const left = list(WAITING).find((other) => other.id === one.id);
      if (left && left.wrong) { // what was just filled in is mended in the form, not in the list
        keep(WAITING, list(WAITING).filter((other) => other.id !== one.id));
        show();
        tell(left.wrong, left.field);
        return;
      }
      const consent = form.elements.consent.checked, stop = form.elements.stop?.value;
      form.reset();
      form.elements.consent.checked = consent;
      if (stop) form.elements.stop.value = stop;
      find("located").textContent = "";
      const said = find("sent") || form.insertAdjacentElement("afterend", Object.assign(document.createElement("section"), { id: "sent", className: "card" }));
      said.setAttribute("role", "status"); said.tabIndex = -1;
      const last = list(RECEIPTS).at(-1);
      if (sent && !left) said.replaceChildren(span(text("sent")), document.createElement("br"), span(text("receipt") + " "), span(last.code, "code"), document.createElement("br"), span(last.kept));
      else said.replaceChildren(span(text(navigator.onLine ? "later" : "stored")));
      said.focus();
    });

    const locate = find("locate");
    if (navigator.geolocation) {
      document.querySelectorAll(".scripted").forEach((one) => { one.hidden = false; });
      locate.addEventListener("click", () => {
        find("located").textContent = text("locating");
        navigator.geolocation.getCurrentPosition((found) => {
          // Four decimals are 11 m, which is all that a street section needs: nothing finer stays on the phone or leaves it.
          form.elements.lat.value = found.coords.latitude.toFixed(4);
          form.elements.lon.value = found.coords.longitude.toFixed(4);
          form.elements.street.value = "";
          const metres = Math.max(11, Math.round(found.coords.accuracy));
          find("located").textContent = text(metres > 75 ? "inexact" : "located", { metres });
        }, () => { find("located").textContent = text("unlocated"); }, { enableHighAccuracy: true, timeout: 15000, maximumAge: 60000 });
      });
    }
    form.elements.street.addEventListener("input", () => { form.elements.lat.value = form.elements.lon.value = ""; find("located").textContent = ""; });
    fetch("/ask/streets.json").then((reply) => reply.json()).then((labels) => {
      find("streets").replaceChildren(...labels.map((label) => Object.assign(document.createElement("option"), { value: label })));
    }).catch(() => {});
  }

  find("eraser")?.addEventListener("submit", (event) => { event.preventDefault(); erase(find("code").value); });
  find("sendnow")?.addEventListener("click", () => send());
  find("another")?.addEventListener("click", () => { phone(true); form?.reset(); find("located") && (find("located").textContent = ""); window.scrollTo(0, 0); });
  window.addEventListener("online", () => send());
  document.addEventListener("visibilitychange", () => { if (!document.hidden && list(WAITING).length) send(); });
  setInterval(() => { if (navigator.onLine && list(WAITING).some((one) => !one.wrong)) send(); }, 60000);
  if ("serviceWorker" in navigator) {
    // This very address, with its walk and stop, is kept as well, once there is somebody to keep it.
    const keepPage = () => { fetch(location.href).catch(() => {}); };
    if (!navigator.serviceWorker.controller) navigator.serviceWorker.addEventListener("controllerchange", keepPage, { once: true });
    navigator.serviceWorker.register("/ask/worker.js", { scope: "/ask" }).catch(() => {});
  }
  if (find("waiting")) { show(); if (list(WAITING).length) send(); }
})();
