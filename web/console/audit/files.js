// Small files whose text is wanted whole: keys, checkpoints, credentials.

/** What cannot be read, in words for a person. */
export class Unreadable extends Error {}

/** The text of a file of at most `most` bytes; other files say what is wrong with them, and where. */
export async function text(file, most) {
  if (file.size > most) {
    throw new Unreadable(`${file.name} has ${file.size} bytes; at most ${most} can be read here.`);
  }
  return decoded(new Uint8Array(await bytesOf(file)), file.name);
}

/** How a file begins, whatever it is. */
export async function beginning(file) {
  // Enough to tell keys, checkpoints and exports apart.
  return new TextDecoder().decode(await bytesOf(file.slice(0, 4096)));
}

async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch (error) {
    throw new Unreadable(`The file cannot be read: ${error.message}`);
  }
}

function decoded(bytes, name) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Unreadable(`${name} is no text: at byte ${firstBad(bytes)} (from 0) it is not UTF-8.`);
  }
}

function firstBad(bytes) {
  // The longest beginning that is UTF-8, or is cut off inside a character.
  let [good, bad] = [0, bytes.length];
  while (good + 1 < bad) {
    const middle = (good + bad) >> 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return good;
}
