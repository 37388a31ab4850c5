const maxAge = 130;

/** Whole years between a birth date (`YYYY-MM-DD`) and the day of `now` in UTC. Born on 29 February: a year older on 1 March. */
export function ageOn(birthDate: string, now: number): number {
  const today = new Date(now);
  const years = today.getUTCFullYear() - Number(birthDate.slice(0, 4));
  const months = today.getUTCMonth() + 1 - Number(birthDate.slice(5, 7));
  const days = today.getUTCDate() - Number(birthDate.slice(8, 10));
  return months < 0 || (months === 0 && days < 0) ? years - 1 : years;
}

/** Why a birth date is refused, or `undefined` when it is a day that a person living today may be born on. */
export function birthDateProblem(text: string, now: number): string | undefined {
  const wrongFormat = "Date has wrong format. Use one of these formats instead: YYYY-MM-DD.";
  if (!/^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text)) return wrongFormat;
  const day = new Date(`${text}T00:00:00Z`);
  // 31 February is read as 3 March, so a real day is one that comes back as it was.
  if (Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== text) return wrongFormat;
  if (day.getTime() > now) return "The birth date lies in the future.";
  if (ageOn(text, now) > maxAge) return `The birth date lies more than ${maxAge} years ago.`;
  return undefined;
}
