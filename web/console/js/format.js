// How times, numbers and money are written. All times are the reader's, with UTC beside them
// where it matters.

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const plain = new Intl.NumberFormat(undefined);
const dollars = new Intl.NumberFormat(undefined, { style: "currency", currency: "USD" });

export const number = (value) => (Number.isFinite(value) ? plain.format(value) : "–");
export const cents = (value) => (Number.isFinite(value) ? dollars.format(value / 100) : "–");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const share = (basisPoints) => `${(basisPoints / 100).toFixed(2)} %`;

/** The time of day; with the date where that is another day. */
export function moment(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return String(text ?? "–");
  const today = date.toDateString() === new Date().toDateString();
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

export function fullTime(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text ?? "–") : full.format(date);
}

/** A length of time, roughly. */
export function duration(seconds) {
  const of = (value, unit) => `${Math.round(value)} ${unit}`;
  const length = Math.abs(seconds);
  if (length < 1) return "under 1 s";
  if (length < 90) return of(length, "s");
  if (length < 5400) return of(length / 60, "min");
  if (length < 129_600) return of(length / 3600, "h");
  return of(length / 86_400, "days");
}

/** How far a time is from now. */
export function ago(text) {
  const seconds = (Date.now() - new Date(text).getTime()) / 1000;
  if (Number.isNaN(seconds)) return "–";
  return seconds >= 0 ? `${duration(seconds)} ago` : `in ${duration(seconds)}`;
}

/** An id, with its middle left out where it is long. */
export function short(text, most = 26) {
  const all = String(text ?? "");
  if (all.length <= most) return all;
  const half = Math.floor((most - 1) / 2);
  return `${all.slice(0, half + 2)}…${all.slice(-half + 2)}`;
}
