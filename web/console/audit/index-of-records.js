// Where an export's records stand in the file: 21 bytes for each, so that any of them can be read
// again without keeping its text.

/** Letters for what a record decides, and `x` where it cannot be told. */
const LETTERS = new Map([
  ["allow", "a"], ["block", "b"], ["request_hold", "h"], ["approved", "A"], ["denied", "d"], ["consumption", "c"], ["gap", "g"],
]);

/** How many bytes of the file a search reads at once. */
const WINDOW = 1024 * 1024;

export class Index {
  constructor(file) {
    this.file = file;
    this.count = 0;
    this.offsets = new Float64Array(1024);
    this.lengths = new Uint32Array(1024);
    this.lines = new Float64Array(1024);
    this.letters = new Uint8Array(1024);
    /** What is wrong, by the number of the line. */
    this.marks = new Map();
  }

  /** Takes a line that is a record. */
  add({ bytes, offset, line }, decision) {
    if (this.count === this.offsets.length) this.#grow();
    this.offsets[this.count] = offset;
    this.lengths[this.count] = bytes.length;
    this.lines[this.count] = line;
    this.letters[this.count] = (LETTERS.get(decision) ?? "x").charCodeAt(0);
    this.count += 1;
  }

  /**
   * The records from number `from` on that a filter lets through, at most `most`, and where to go
   * on. `decision` is a letter or "", `words` must stand in the record, `marked` asks for what is
   * wrong only. Ends early once `isStale` says so.
   */
  async find({ decision, words, marked }, from, most, isStale) {
    const wanted = decision.charCodeAt(0);
    const needle = escaped(words).toLowerCase();
    const found = [];
    const window = { from: 0, bytes: new Uint8Array() };
    let at = from;
    for (; at < this.count && found.length < most; at += 1) {
      if (decision && this.letters[at] !== wanted) continue;
      if (marked && !this.marks.has(this.lines[at])) continue;
      const text = await this.#text(at, window);
      if (isStale()) return null;
      if (needle && !text.toLowerCase().includes(needle)) continue;
      found.push({ record: at, line: this.lines[at], text, mark: this.marks.get(this.lines[at]) ?? null });
    }
    return { found, next: at < this.count ? at : null };
  }

  async #text(at, window) {
    const [begin, length] = [this.offsets[at], this.lengths[at]];
    if (begin < window.from || begin + length > window.from + window.bytes.length) {
      const slice = this.file.slice(begin, begin + Math.max(length, WINDOW));
      window.bytes = new Uint8Array(await slice.arrayBuffer());
      window.from = begin;
    }
    const from = begin - window.from;
    return new TextDecoder().decode(window.bytes.subarray(from, from + length));
  }

  #grow() {
    for (const name of ["offsets", "lengths", "lines", "letters"]) {
      const grown = new this[name].constructor(this.count * 2);
      grown.set(this[name]);
      this[name] = grown;
    }
  }
}

/** Words as they stand in JSON. */
function escaped(words) {
  return JSON.stringify(words).slice(1, -1);
}
