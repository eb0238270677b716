// What a page must not be, as a list of sentences. It runs in the page, as the test's and not as the page's.
const problems = [];
const count = (css) => document.querySelectorAll(css).length;
for (const css of ["html[lang=en]", "h1", "main", "head > title", "meta[name=viewport]"]) {
  if (count(css) !== 1) problems.push(`${css}: ${count(css)}`);
}
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) problems.push(`a heading of level ${next} after one of level ${level}`);
  level = next;
}
for (const table of document.querySelectorAll("table")) {
  const rows = [...table.tBodies[0].rows];
  if (![...table.tHead.rows[0].cells].every((cell) => cell.scope === "col")) problems.push("a column without a header");
  if (!rows.every((row) => row.cells[0].scope === "row")) problems.push("a row without a header");
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
if (new Set(ids).size !== ids.length) problems.push("an id twice");
for (const attribute of ["aria-describedby", "aria-labelledby", "for"]) {
  for (const element of document.querySelectorAll(`[${attribute}]`)) {
    for (const id of element.getAttribute(attribute).split(" ")) {
      if (!document.getElementById(id)) problems.push(`${attribute} names nothing: ${id}`);
    }
  }
}
if ([...document.images].some((image) => !image.hasAttribute("alt"))) problems.push("a picture without a text");
if (document.documentElement.scrollWidth > document.documentElement.clientWidth) problems.push("wider than the window");

// Contrast, as WCAG counts it: 4.5 for all texts.
const channels = (color) => color.match(/[\d.]+/g).map(Number);
const luminance = (color) => {
  const [red, green, blue] = channels(color).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const background = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const color = getComputedStyle(at).backgroundColor;
    const parts = channels(color);
    if (parts.length < 4 || parts[3] > 0) return color;
  }
  return "rgb(255, 255, 255)";
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
  const [one, other] = [getComputedStyle(element).color, background(element)].map(luminance).sort((a, b) => b - a);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < 4.5) problems.push(`a contrast of ${contrast.toFixed(2)}: ${texts.currentNode.data.trim()}`);
}
return problems;
