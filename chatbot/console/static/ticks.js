// One box that ticks all others of its name.
for (const all of document.querySelectorAll("[data-ticks]")) {
  const each = () => [...all.form.querySelectorAll(`[name="${all.dataset.ticks}"]`)];
  all.closest("[data-needs-script]").hidden = false;
  all.addEventListener("change", () => each().forEach((one) => { one.checked = all.checked; }));
  all.form.addEventListener("change", () => { all.checked = each().every((one) => one.checked); });
}
