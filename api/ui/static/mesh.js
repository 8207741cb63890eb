// Keeps parts of a page up to date, and asks before what cannot be taken back. Pages work without it.
"use strict";

const SLOWEST_S = 60; // between two looks at a server that does not answer

function keepFresh(part) {
  const every = Number(part.dataset.every || 4);
  let wait = every;
  let timer = 0;

  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(look, wait * 1000);
  };

  const look = async () => {
    if (document.hidden) return; // goes on when somebody looks
    try {
      const answer = await fetch(part.dataset.refresh, { credentials: "same-origin", redirect: "error" });
      if (answer.status === 401) return location.reload();
      if (answer.ok) {
        wait = every;
        put(part, await answer.text());
      } else {
        wait = Math.min(wait * 2, SLOWEST_S);
      }
    } catch {
      wait = Math.min(wait * 2, SLOWEST_S);
    }
    if (!part.querySelector("[data-finished]")) later();
  };

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !part.querySelector("[data-finished]")) look();
  });
  later();
}

// What somebody fills in or has opened stays as it is.
function put(part, text) {
  if (part.dataset.shown === text || part.querySelector("input:focus, select:focus, textarea:focus")) return;
  const open = new Set([...part.querySelectorAll("details[open][id]")].map((each) => each.id));
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const place = focused ? [...part.querySelectorAll("a, button, summary")].indexOf(focused) : -1;
  part.innerHTML = text;
  part.dataset.shown = text;
  for (const each of part.querySelectorAll("details[id]")) each.open = each.open || open.has(each.id);
  if (place >= 0) part.querySelectorAll("a, button, summary")[place]?.focus({ preventScroll: true });
}

document.querySelectorAll("[data-refresh]").forEach(keepFresh);

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.sure;
  if (question && !confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

document.querySelectorAll("[data-copy]").forEach((button) => (button.hidden = !navigator.clipboard));
