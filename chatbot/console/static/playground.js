// Sends without leaving the page, counts the open window down between two words of the server, and shows duplicates.
const form = document.getElementById("compose");
const chat = document.querySelector(".chat");
const suppressed = document.querySelector(".suppressed");

function end() {
  chat.scrollTop = chat.scrollHeight;
}

function fade(text, why) {
  const item = document.createElement("li");
  item.className = "bubble mine fading";
  item.textContent = text;
  const note = document.createElement("span");
  note.className = "dim";
  note.textContent = ` ${why}`;
  item.append(note);
  suppressed.append(item);
  setTimeout(() => item.remove(), 4000);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  const body = new URLSearchParams(new FormData(form, button));
  const act = body.get("act");
  if (act === "send") {
    if (!body.get("text").trim()) return;
    form.elements.text.value = "";
  }
  const isSlow = act === "burst";
  if (isSlow) button.disabled = true;
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(`${answer.status}`);
    for (const one of (await answer.json()).sent) {
      if (one.outcome === "duplicate") fade(one.text, suppressed.dataset.duplicate);
      else if (one.outcome !== "accepted") fade(one.text, one.outcome);
    }
    form.querySelector("[value=again]").disabled = false;
  } catch (error) {
    fade(body.get("text") || act, `${suppressed.dataset.unsent} (${error.message})`);
  } finally {
    if (isSlow) button.disabled = false;
    form.elements.text.focus();
  }
});

const seconds = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
let heard = performance.now();
chat.addEventListener("morphed", () => {
  heard = performance.now();
  end();
});

function tick() {
  for (const shown of chat.querySelectorAll("[data-due]")) {
    const left = Math.max(0, shown.dataset.due - (performance.now() - heard));
    if (shown instanceof HTMLProgressElement) shown.value = left;
    else shown.value = `${seconds.format(left / 1000)} s`;
  }
  requestAnimationFrame(tick);
}

end();
tick();
