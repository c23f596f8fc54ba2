"use strict";
// The page keeps nothing but the history that is being built; all else is asked of the API.

const LENGTH = 12;
const byId = (id) => document.getElementById(id);
// The item that is shown, and the one that was asked for last, which may be on its way.
const state = {
  history: [], chosen: null, asked: null, added: null, info: null, turn: 0, searchTurn: 0,
};

// ---------------------------------------------------------------- the API

async function ask(path, body) {
  const headers = { "Content-Type": "application/json" };
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The service does not answer. Is it running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (answer.status === 401) byId("key").hidden = false;
  if (!answer.ok) {
    const said = [found.detail, found.remedy].filter(Boolean).join(" ");
    throw new Error(said || `HTTP ${answer.status}`); // a proxy says it in other words than ours
  }
  return found;
}

function told(work) {
  return async (...given) => {
    try {
      byId("problem").hidden = true;
      await work(...given);
    } catch (error) {
      byId("problem").textContent = error.message;
      byId("problem").hidden = false;
    }
  };
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const number = (value, digits = 2) => (value === null ? "—" : value.toFixed(digits));

// ---------------------------------------------------------------- recommending

const recommend = told(async () => {
  const turn = ++state.turn;
  const started = performance.now();
  const history = state.history.map((item) => item.id);
  const request = { history, k: LENGTH };
  if (byId("seen").checked) request.include_seen = true;
  const found = await ask("recommend", request);
  if (turn !== state.turn) return; // a later one is on its way
  byId("latency").textContent = `${Math.round(performance.now() - started)} ms`;
  byId("note").textContent = found.note;
  showList(found.items);
  await showLanding(request, turn);
  if (turn !== state.turn) return;
  if (state.asked && found.items.some((item) => item.id === state.asked.id)) {
    await showItem(state.asked, false);
  } else {
    byId("item").hidden = true;
    state.chosen = state.asked = null;
  }
});

function showList(items) {
  const scores = items.map((item) => item.score).filter(Number.isFinite);
  const [low, high] = [Math.min(...scores), Math.max(...scores)];
  byId("list").replaceChildren(...items.map((item) => {
    const row = document.createElement("li");
    const button = element("button", "", { type: "button", "aria-pressed": "false" });
    if (state.added === String(item.id)) button.classList.add("own");
    const bar = element("span", "", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${high > low ? 4 + 96 * (item.score - low) / (high - low) : 100}%`;
    button.append(element("span", item.title, { class: "title" }),
      element("span", number(item.score), { class: "score", title: "score" }), bar);
    button.addEventListener("click", () => choose(item));
    button.dataset.id = item.id;
    row.append(button);
    return row;
  }));
}

async function showLanding(request, turn) {
  byId("landed").textContent = "";
  if (state.added === null) return;
  const whole = await ask("recommend", { ...request, k: Math.min(1000, state.info.items) });
  if (turn !== state.turn) return;
  const place = whole.items.findIndex((item) => String(item.id) === state.added);
  byId("landed").textContent = place < 0
    ? `Your item is not among the first ${whole.items.length}.`
    : `Your item stands at place ${place + 1} of ${state.info.items.toLocaleString()}.`;
}

// ---------------------------------------------------------------- one item: why, and what is near

const choose = told((item) => showItem(item, true));

async function showItem(item, focus) {
  state.asked = item;
  const [whole, text, behaviour, why] = await answersOf(item);
  if (state.asked !== item) return;
  state.chosen = item;
  for (const button of byId("list").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.id === String(item.id)));
  }
  byId("item-title").textContent = whole.title;
  byId("item-fields").replaceChildren(...Object.entries(whole.fields).flatMap(
    ([name, value]) => (value ? [element("dt", name), element("dd", value)] : [])));
  byId("why").querySelector("tbody").replaceChildren(...why.parts.map((part) => {
    const row = document.createElement("tr");
    row.append(element("td", part.title), element("td", number(part.effect)),
      element("td", number(part.text)));
    return row;
  }));
  for (const [list, found] of [["by-text", text], ["by-behaviour", behaviour]]) {
    byId(list).replaceChildren(...found.items.map((near) => {
      const row = document.createElement("li");
      const button = element("button", near.title, { type: "button" });
      button.addEventListener("click", () => choose(near));
      row.append(button);
      return row;
    }));
  }
  byId("item").hidden = false;
  if (focus) byId("item-title").focus();
}

async function answersOf(item) {
  const id = encodeURIComponent(item.id);
  const history = state.history.map((one) => one.id);
  const scored = state.info.scores_items;
  try {
    return await Promise.all([
      ask(`items/${id}`),
      state.info.reads_text ? ask(`similar?item=${id}&by=text&k=8`) : { items: [] },
      scored ? ask(`similar?item=${id}&by=behaviour&k=8`) : { items: [] },
      scored && history.length ? ask("explain", { history, item: item.id }) : { parts: [] },
    ]);
  } catch (error) {
    if (state.asked === item) state.asked = state.chosen; // which is still what is shown
    throw error;
  }
}

// ---------------------------------------------------------------- history

function showHistory() {
  byId("history").replaceChildren(...state.history.map((item, place) => {
    const row = document.createElement("li");
    const remove = element("button", "×", { type: "button", "aria-label": `Remove ${item.title}` });
    remove.addEventListener("click", () => {
      state.history.splice(place, 1);
      changed();
      const left = byId("history").querySelectorAll("button");
      (left[Math.min(place, left.length - 1)] || byId("search")).focus();
    });
    row.append(element("span", item.title), remove);
    return row;
  }));
  byId("history-hint").hidden = state.history.length > 0;
}

function changed() {
  showHistory();
  recommend();
}

function take(item) {
  state.history.push({ id: item.id, title: item.title });
  byId("search").value = "";
  closeFound();
  byId("search").focus();
  changed();
}

// ---------------------------------------------------------------- search

let found = [];
let marked = -1;
let entered = false; // Enter came before what was typed was found

function closeFound() {
  found = [];
  marked = -1;
  entered = false;
  state.searchTurn += 1;
  byId("found").hidden = true;
  byId("search").setAttribute("aria-expanded", "false");
  byId("search").removeAttribute("aria-activedescendant");
  byId("search-status").textContent = "";
}

const search = told(async () => {
  const text = byId("search").value.trim();
  const turn = ++state.searchTurn;
  if (!text) return closeFound();
  const answer = await ask(`search?k=8&text=${encodeURIComponent(text)}`);
  if (turn !== state.searchTurn) return;
  found = answer.items;
  byId("found").replaceChildren(...found.map((item, place) => {
    const row = element("li", item.title, { role: "option", id: `found-${place}` });
    row.addEventListener("click", () => take(item));
    return row;
  }));
  byId("search-status").textContent = found.length ? "" : "Nothing found.";
  byId("found").hidden = !found.length;
  byId("search").setAttribute("aria-expanded", String(found.length > 0));
  mark(found.length ? 0 : -1);
  if (entered && found.length) take(found[0]);
  entered = false;
});

function mark(place) {
  marked = place;
  for (const [number_, row] of [...byId("found").children].entries()) {
    row.setAttribute("aria-selected", String(number_ === place));
  }
  if (place < 0) return byId("search").removeAttribute("aria-activedescendant");
  byId("search").setAttribute("aria-activedescendant", `found-${place}`);
  byId("found").children[place].scrollIntoView({ block: "nearest" });
}

let typing;
byId("search").addEventListener("input", () => {
  clearTimeout(typing);
  found = []; // of what was typed before
  byId("search-status").textContent = "";
  state.searchTurn += 1;
  marked = -1;
  entered = false;
  typing = setTimeout(search, 120);
});
byId("search").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && found.length) mark((marked + step + found.length) % found.length);
  else if (event.key === "Enter" && found[marked]) take(found[marked]);
  else if (event.key === "Enter") entered = true;
  else if (event.key === "Escape") closeFound();
  else return;
  event.preventDefault();
});

// ---------------------------------------------------------------- adding an item

byId("add").addEventListener("submit", (event) => {
  event.preventDefault();
  told(async () => {
    const given = [...byId("add-fields").querySelectorAll("input")].filter((one) => one.value.trim());
    const fields = Object.fromEntries(given.map((one) => [one.name, one.value.trim()]));
    const typed = byId("add-id").value.trim();
    const id = typed === "" ? freeId() : idOf(typed);
    await ask("items", { items: [{ id, fields }] });
    state.added = id;
    byId("add").reset();
    await showInfo();
    recommend();
  })();
});

// Ids go out as text, which the service takes for numbers, too; these as they will come back.
function idOf(text) {
  return state.info.ids === "number" && /^-?\d+$/.test(text) ? String(BigInt(text)) : text;
}

// Seconds since 1970 fit into every kind of number that ids can be of.
function freeId() {
  const now = Math.floor(Date.now() / 1000);
  return state.info.ids === "number" ? `${now}` : `own-${now}`;
}

async function showInfo() {
  const info = state.info = await ask("info");
  byId("run").textContent = `${info.run} · ${info.model} · ${info.items.toLocaleString()} items`
    + (info.retired ? `, ${info.retired.toLocaleString()} retired` : "");
  byId("own").hidden = !info.takes_items || !info.reads_text;
  if (byId("add-fields").children.length) return;
  byId("add-fields").replaceChildren(...info.fields.flatMap((name, place) => [
    element("label", name, { for: `add-field-${place}` }),
    element("input", "", {
      id: `add-field-${place}`, name, maxlength: "1000", autocomplete: "off",
      ...(place === 0 ? { required: "" } : {}),
    }),
  ]));
}

// ---------------------------------------------------------------- start

const start = told(async () => {
  await showInfo();
  changed();
});

byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  told(async () => {
    const key = byId("key-field").value.trim();
    if (!/^[!-~]+$/.test(key)) throw new Error("A key holds ASCII letters, digits and signs alone.");
    sessionStorage.setItem("key", key);
    byId("key").hidden = true;
    start();
  })();
});
byId("clear").addEventListener("click", () => {
  state.history = [];
  changed();
});
byId("seen").addEventListener("change", recommend);
byId("take").addEventListener("click", () => take(state.chosen));
start();
