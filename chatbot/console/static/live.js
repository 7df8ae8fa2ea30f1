// Keeps a part of a page as the server says: whatever has changed is replaced, whatever has not stays as it is.
const sources = new WeakMap();

export function morph(container, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const focused = document.activeElement?.id;
  let before = container.firstElementChild;
  for (const child of [...template.content.children]) {
    const source = child.outerHTML;
    const old = known.get(child.dataset.key);
    known.delete(child.dataset.key);
    if (old && sources.get(old) === source) {
      if (old === before) before = old.nextElementSibling;
      else container.insertBefore(old, before);
      continue;
    }
    sources.set(child, source);
    if (old) {
      if (old === before) before = old.nextElementSibling;
      old.replaceWith(child);
      if (child.nextElementSibling !== before) container.insertBefore(child, before);
    } else {
      child.classList.add("is-new");
      container.insertBefore(child, before);
    }
  }
  for (const gone of known.values()) gone.remove();
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
  container.dispatchEvent(new Event("morphed"));
}

const state = document.getElementById("live-state");

function say(text, isLost) {
  if (!state || state.textContent === text) return;
  state.textContent = text;
  state.classList.toggle("is-lost", isLost);
}

for (const container of document.querySelectorAll("[data-live]")) {
  const stream = new EventSource(container.dataset.live);
  stream.onopen = () => say("Live", false);
  stream.onmessage = (event) => morph(container, event.data);
  stream.onerror = () => {
    const isOver = stream.readyState === EventSource.CLOSED;
    say(isOver ? "Stopped: reload the page" : "Connecting …", true);
  };
  addEventListener("pagehide", () => stream.close());
}
