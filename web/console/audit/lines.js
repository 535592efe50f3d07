// A file as lines, read as a stream: memory holds a few of its pieces, however long it is.

/** The longest line that is looked at: what the service writes has half of it at most. */
const LONGEST = 2 * 1024 * 1024;

/** Where a file is not what an export can be. */
export class BadFile extends Error {
  constructor(detail, line, offset) {
    super(detail);
    Object.assign(this, { detail, line, offset });
  }
}

/**
 * The file's lines without their newlines, as lists of `{bytes, offset, line}`: the byte where each
 * begins, from 0, and its number, from 1. A list holds what one read of the file completed. The
 * bytes are gone once the next list is asked for.
 */
export async function* lines(file) {
  const reader = file.stream().getReader();
  let rest = new Uint8Array();
  let [offset, line] = [0, 0];
  try {
    for (;;) {
      const { done, value } = await read(reader, line + 1, offset);
      if (done) break;
      const bytes = rest.length ? joined(rest, value) : value;
      const list = [];
      let from = 0;
      // What `rest` held has no newline.
      for (let end = bytes.indexOf(10, rest.length); end >= 0; end = bytes.indexOf(10, from)) {
        line += 1;
        list.push({ bytes: bytes.subarray(from, end), offset: offset + from, line });
        from = end + 1;
      }
      offset += from;
      rest = bytes.slice(from);
      if (rest.length > LONGEST) {
        throw new BadFile(`this line has more than ${LONGEST} bytes: none that the service writes is so long`, line + 1, offset);
      }
      if (list.length > 0) yield list;
    }
    if (rest.length > 0) yield [{ bytes: rest, offset, line: line + 1 }];
  } finally {
    // A file that is read no further is closed; it may be closed already.
    reader.cancel().catch(() => {});
  }
}

async function read(reader, line, offset) {
  try {
    return await reader.read();
  } catch (error) {
    throw new BadFile(`the file cannot be read any further (${error.message}): was it changed or moved?`, line, offset);
  }
}

function joined(one, other) {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}
