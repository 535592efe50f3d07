// Elements, made by calls. Text only ever becomes text: whatever strings say, and whoever
// wrote them, nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

// Addresses lead to this service, or to what this page made.
const ADDRESS = /^(\/(?!\/)|#|blob:)/;

/** An element with attributes and children; `on` has listeners, by event. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") {
      element[name] = value;
    } else if (value !== undefined && value !== null && value !== false) {
      set(element, name, value === true ? "" : String(value));
    }
  }
  add(element, children);
  return element;
}

function set(element, name, value) {
  if (name.startsWith("on") || name === "style" || name === "srcdoc") throw new Error(`no attribute ${name}`);
  if ((name === "href" || name === "src" || name === "action") && !ADDRESS.test(value)) {
    throw new Error("an address that is not this service's");
  }
  element.setAttribute(name, value);
}

function add(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : String(child));
    }
  }
}

/** Puts these in place of what an element has. */
export function put(element, ...children) {
  element.replaceChildren();
  add(element, children);
  return element;
}

let last = 0;

/** An id that no other element has. */
export function unique(name) {
  last += 1;
  return `${name}-${last}`;
}
