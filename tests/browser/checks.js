// Returns what is wrong with a page: too wide, unnamed, doubled, or hard to read.
const faults = [];
const root = document.documentElement;
if (root.scrollWidth > root.clientWidth) faults.push(`it is ${root.scrollWidth - root.clientWidth} px too wide`);
if (document.querySelectorAll("h1").length !== 1 && !location.pathname.startsWith("/dashboard")) faults.push("it has no heading of its own");
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
for (const id of ids.filter((id, place) => ids.indexOf(id) !== place)) faults.push(`#${id} is there twice`);
for (const one of document.querySelectorAll("input:not([type=hidden]), select, textarea, progress")) {
  if (!one.labels?.length && !one.ariaLabel) faults.push(`${one.outerHTML} has no label`);
}
for (const one of document.querySelectorAll("a, button")) {
  if (!one.innerText.trim() && !one.ariaLabel) faults.push(`${one.outerHTML} has no name`);
}
for (const one of document.querySelectorAll("img:not([alt])")) faults.push(`${one.outerHTML} has no text`);

const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
function rgba(color) {
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data];
}
function luminance(color) {
  const [r, g, b] = rgba(color).slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(element) {
  for (let one = element; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if (rgba(color)[3] === 255) return color;
  }
  return "white";
}
for (const one of document.body.querySelectorAll("*")) {
  const text = [...one.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
  if (!text || !one.checkVisibility() || one.matches(":disabled, svg *, script, noscript, .is-new *")) continue;
  const style = getComputedStyle(one);
  const [a, b] = [luminance(style.color), luminance(ground(one))].sort((x, y) => y - x);
  const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
  const contrast = (a + 0.05) / (b + 0.05);
  if (contrast < (isLarge ? 3 : 4.5)) faults.push(`"${text.slice(0, 30)}" has a contrast of ${contrast.toFixed(2)}`);
}
return [...new Set(faults)];
