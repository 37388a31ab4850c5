/**
 * Milliseconds since 1970 of a day (`2026-12-31`, its beginning in UTC) or a time in ISO 8601 (`2026-12-31T18:00:00Z`).
 * @returns `undefined` for everything else, such as a day that no month has
 */
export function readIsoTime(text: string): number | undefined {
  const time = /^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]+Z)?$/.test(text) ? Date.parse(text) : Number.NaN;
  // V8 reads 31 February as 3 March.
  if (Number.isNaN(time) || !new Date(time).toISOString().startsWith(text.slice(0, 10))) return undefined;
  return time;
}
