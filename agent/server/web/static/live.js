// Renews the page's content when something happens, or every few seconds.
"use strict";

let waits = false;

async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.querySelector("main").replaceWith(page.querySelector("main"));
  } catch {
    // The server is away: the next turn tries again.
  }
}

function soon() {
  if (waits) return;
  waits = true;
  setTimeout(() => { waits = false; renew(); }, 1000);
}

const live = document.getElementById("live").dataset;
if (live.events) {
  const events = new EventSource(live.events);
  events.addEventListener("open", soon); // what happened since the page was made, or while the server was away
  events.addEventListener("run", soon);
  events.addEventListener("job", soon);
}
if (Number(live.every)) setInterval(renew, Number(live.every) * 1000);
