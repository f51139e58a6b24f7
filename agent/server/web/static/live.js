// Renews the page's content when something happens, or every few seconds. What has not changed stays as it is, node by
// node: where somebody has scrolled to, what they have selected, and where the keyboard is.
"use strict";

let waits = false;
let timer = 0;

const live = () => document.getElementById("live").dataset;

async function renew() {
  if (!document.hidden) {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        update(document.querySelector("main"), page.querySelector("main"));
      }
      tellAway(false);
    } catch {
      tellAway(true); // the next turn tries again
    }
  }
  plan();
}

// A page that is not renewed must not look as if nothing happened.
let isAway = false;
function tellAway(is) {
  isAway = is;
  document.getElementById("away").hidden = !is;
}

const AWAY_SECONDS = 3; // between two tries
function plan() {
  clearTimeout(timer);
  const seconds = isAway ? AWAY_SECONDS : Number(live().every);
  if (seconds) timer = setTimeout(renew, seconds * 1000);
}

function soon() {
  if (waits) return;
  waits = true;
  setTimeout(() => { waits = false; renew(); }, 1000);
}

// Make `old`, which is shown, like `fresh`.
function update(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType === Node.TEXT_NODE) updateText(old, fresh.data);
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  if (old.nodeName === "PRE") keepPlace(old, () => updateChildren(old, fresh));
  else updateChildren(old, fresh);
}

const keyOf = (node) => node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.key || "" : "";

// Children that have a key are matched by it, others by their place; nothing that stays is moved.
function updateChildren(old, fresh) {
  const wanted = new Set([...fresh.children].map(keyOf));
  const known = new Map([...old.children].filter(keyOf).map((child) => [keyOf(child), child]));
  let place = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = keyOf(child);
    const match = key ? known.get(key) : place;
    if (!match || match.nodeName !== child.nodeName || keyOf(match) !== key) {
      old.insertBefore(child, place);
      continue;
    }
    while (place && place !== match && !(keyOf(place) && wanted.has(keyOf(place)))) place = drop(place);
    if (place === match) place = match.nextSibling;
    else old.insertBefore(match, place);
    update(match, child);
  }
  while (place) place = drop(place);
}

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// Of a log the page that was asked for has the last lines only. What is shown already stays, so that nothing slides away under
// who reads, scrolls or selects; only when it is very long its beginning goes. The last line may have been half a line, and bars
// that are written over together are several lines that change: as many as these are looked for further up.
const MOST_CHARACTERS = 4 << 20;
const MOST_CHANGING = 60;
const MOST_LINES = 200; // of a page that was asked for
const LEFT_OUT = "⋯ there was more than the page could follow: all of it is below ⋯\n";

function updateText(node, text) {
  const pre = node.parentElement.closest("pre");
  if (!pre) {
    node.data = text;
    return;
  }
  const place = findPlace(node.data, text);
  if (place) node.replaceData(place.kept, node.data.length - place.kept, text.slice(place.kept - place.shared));
  else if (text.split("\n").length < MOST_LINES) node.data = text; // it is all of the log
  else node.appendData((node.data.endsWith("\n") ? "" : "\n") + LEFT_OUT + text);
  if (node.data.length > MOST_CHARACTERS) shorten(pre, node);
}

// How much of `old` stays, and where in that begins which `text` goes on from; null: they have nothing in common.
function findPlace(old, text) {
  for (let lines = 0, kept = old.length; lines < MOST_CHANGING && kept > 0; lines++) {
    kept = old.lastIndexOf("\n", kept - 2) + 1;
    const shared = findShared(old.slice(0, kept), text);
    if (shared >= 0) return { kept, shared };
  }
  return null;
}

// Where in `old` that begins which `text` goes on from; -1: they have nothing in common.
function findShared(old, text) {
  const first = text.slice(0, text.indexOf("\n") + 1);
  for (let at = 0; at >= 0 && at < old.length; at = first ? old.indexOf(first, at + 1) : -1) {
    if (text.startsWith(old.slice(at)) && (at === 0 || old[at - 1] === "\n")) return at;
  }
  return -1;
}

// Take lines away at the beginning; what is seen stays where it is on the screen.
function shorten(pre, node) {
  const { scrollTop, scrollHeight } = pre;
  node.deleteData(0, node.data.indexOf("\n", node.data.length - MOST_CHARACTERS / 2) + 1);
  pre.scrollTop = scrollTop - (scrollHeight - pre.scrollHeight);
}

// Who reads in the middle of a log stays there; who is at its end sees what comes.
function keepPlace(pre, change) {
  const isAtEnd = pre.scrollHeight > pre.clientHeight && pre.scrollTop + pre.clientHeight >= pre.scrollHeight - 2;
  change();
  if (isAtEnd) pre.scrollTop = pre.scrollHeight;
}

if (live().events) {
  const events = new EventSource(live().events);
  events.addEventListener("open", soon); // what happened since the page was made, or while the server was away
  events.addEventListener("error", soon); // it was cut: is the server still there?
  events.addEventListener("run", soon);
  events.addEventListener("job", soon);
}
// A log opens at its end: what it says last is what it is looked at for.
for (const pre of document.querySelectorAll("pre#log")) pre.scrollTop = pre.scrollHeight;
document.addEventListener("visibilitychange", soon);
plan();
