/** How links name an account: base64url of its decimal id (the original's `uidb64`). */
export const encodeUserId = (id: number): string => Buffer.from(String(id)).toString("base64url");

/** The id, or `undefined` for what no account can have. */
export function decodeUserId(reference: string): number | undefined {
  const digits = Buffer.from(reference, "base64url").toString("latin1");
  const id = /^[1-9][0-9]{0,15}$/.test(digits) ? Number(digits) : undefined;
  return id !== undefined && Number.isSafeInteger(id) ? id : undefined;
}
