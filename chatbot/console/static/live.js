// Keeps a part of a page as the server says: whatever has changed is replaced, whatever has not stays as it is.
const sources = new WeakMap();

// How to find what takes an element's place: by its id, or by where it leads.
function sameAs(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  return element.hasAttribute("href") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : null;
}

export function morph(container, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const known = new Map([...container.children].map((child) => [child.dataset.key, child]));
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
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
  if (focused && document.activeElement !== focused) {
    const same = sameAs(focused);
    if (same) container.querySelector(same)?.focus({ preventScroll: true });
  }
  container.dispatchEvent(new Event("morphed"));
}

// What it says now is what it says while all is well; what else it may say is in the page's language, too.
const state = document.getElementById("live-state");
const words = { live: state?.textContent, ...state?.dataset };

function say(text, isLost) {
  if (!state || state.textContent === text) return;
  state.textContent = text;
  state.classList.toggle("is-lost", isLost);
}

for (const container of document.querySelectorAll("[data-live]")) {
  const stream = new EventSource(container.dataset.live);
  stream.onopen = () => say(words.live, false);
  stream.onmessage = (event) => morph(container, event.data);
  stream.onerror = () => {
    const isOver = stream.readyState === EventSource.CLOSED;
    say(isOver ? words.over : words.lost, true);
  };
  addEventListener("pagehide", () => stream.close());
}
