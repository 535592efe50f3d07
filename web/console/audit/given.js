// Text that a person pastes, or gives as a file.

import { text, Unreadable } from "./files.js";
import { shown } from "./text.js";

/** The longest text that is taken: some thousand keys, or any credential. */
export const MOST_TEXT = 4 * 1024 * 1024;

/** Fills a field from a file, whenever one is chosen. `changed` is called then, and as one types. */
export function fillFromFile(field, input, changed, failed) {
  field.addEventListener("input", () => changed());
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) await fill(field, file, changed, failed);
    // The same file, changed meanwhile, can be chosen again.
    input.value = "";
  });
}

/** Fills a field from this file. */
export async function fill(field, file, changed, failed) {
  try {
    field.value = await text(file, MOST_TEXT);
    changed();
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    failed(shown(error.message));
  }
}
