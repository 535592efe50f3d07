// Text of strangers, and elements made around it. Nothing here, nor in any other module of the
// page, is ever read as markup: strings become text nodes.

// Control, format, surrogate and separator characters: they would not show, or would turn what
// stands beside them around.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** A string as a person can see it: what would not show is written as its code point. */
export function shown(text) {
  return String(text).replace(UNSEEN, (unseen) => `\\u{${unseen.codePointAt(0).toString(16)}}`);
}

/** The same with line breaks kept, for text in several lines. */
export function shownLines(text) {
  return String(text).split("\n").map(shown).join("\n");
}

/** An element with attributes, and with nodes and strings in it. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A list of terms with what belongs to each; pairs without a value are left out. */
export function facts(pairs) {
  const list = make("dl", { class: "facts" });
  for (const [term, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    const detail = value instanceof Node ? value : shown(value);
    list.append(make("dt", {}, term), make("dd", {}, detail));
  }
  return list;
}

/** A box that says how something came out. `tone` is `good`, `bad` or `odd`. */
export function verdict(tone, title, ...children) {
  return make("div", { class: `verdict ${tone}` }, make("h2", {}, title), ...children);
}

/** A number with its thousands apart. */
export const number = new Intl.NumberFormat("en").format;

/** A number of bytes, rounded. */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(Math.floor(Math.log2(bytes) / 10), units.length);
  return `${(bytes / 1024 ** step).toFixed(step > 1 ? 1 : 0)} ${units[step - 1]}`;
}
