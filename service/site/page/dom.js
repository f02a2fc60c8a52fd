// Elements from data. Text becomes text nodes only: nothing that is stored can turn into markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. properties: `class`, `on…` listeners, anything else an attribute; null and false leave it out. */
export function h(tag, properties = {}, ...children) {
  return build(document.createElement(tag), properties, children);
}

/** The same, of a drawing. */
export function svg(tag, properties = {}, ...children) {
  return build(document.createElementNS(SVG, tag), properties, children);
}

export function $(id) {
  return document.getElementById(id);
}

/** Replaces what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null));
}

/** The same for what has no listeners: what is equal stays, with its tooltip and whatever is selected in it. */
export function refresh(element, ...children) {
  const next = element.cloneNode(false);
  fill(next, ...children);
  if (!next.isEqualNode(element)) element.replaceChildren(...next.childNodes);
}

/** Sets an element's text only if it is another one: screen readers tell each change of a live region. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function build(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}
