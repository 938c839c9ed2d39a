// Numbers, times and sizes as a person reads them, in the browser's language.

const whole = new Intl.NumberFormat();
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const SPANS = [["day", 86400], ["hour", 3600], ["minute", 60]];

export const count = (number) => whole.format(number);

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;

export function bytes(number) {
  const units = ["bytes", "KB", "MB", "GB", "TB"];
  let unit = 0;
  for (; number >= 1000 && unit < units.length - 1; unit += 1) number /= 1000;
  return `${number >= 100 || unit === 0 ? count(Math.round(number)) : number.toFixed(1)} ${units[unit]}`;
}

export const fullTime = (time) => moment.format(new Date(time));
export const timeOfDay = (time) => clock.format(new Date(time));

export function ago(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  for (const [name, size] of SPANS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), name);
  }
  return "just now";
}

/** Seconds as a length of time. */
export function span(seconds) {
  for (const [name, size] of SPANS) {
    if (seconds >= size) return plural(Math.round(seconds / size), name);
  }
  return `${Math.round(seconds)} s`;
}

/** A document's steps as the picture counts them: from 0, without the end. */
export const rangeOf = (one) => [one.first_step - 1, one.end_step];

/** Steps first … end - 1, counted from 0, as people and the API count: from 1. */
export function steps(first, end) {
  if (end <= first) return "none";
  return end - first === 1 ? count(end) : `${count(first + 1)}–${count(end)}`;
}
