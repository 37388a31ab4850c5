import type { KeyRing } from "../../lib/keys.ts";
import { mintOneTimeToken, type OneTimePurpose } from "../../lib/one-time-token.ts";
import { encodeUserId } from "../../lib/user-reference.ts";
import type { MailKind } from "../../mixins/accounts/mails.repository.ts";
import type { QueuedMail } from "./mail-queue.repository.ts";

/** Which link a mail carries, and for which purpose its token is made. */
const links: Partial<Readonly<Record<MailKind, { path: string; purpose: OneTimePurpose }>>> = {
  "verify-email": { path: "verify", purpose: "verify-email" },
  "confirm-email": { path: "confirm-email", purpose: "confirm-email" },
  "email-change-notice": { path: "undo-email", purpose: "undo-email" },
  "reset-password": { path: "reset-password", purpose: "reset-password" },
};

type Linked = Pick<QueuedMail, "kind" | "userId" | "oneTimeTokenId">;

/** Made anew at every attempt: it lies nowhere in between. A mail without a token gets the public URL alone. */
export function linkOf(publicUrl: string, keys: KeyRing, { kind, userId, oneTimeTokenId }: Linked): string {
  const link = links[kind];
  if (!link || oneTimeTokenId === null) return publicUrl;
  const token = mintOneTimeToken(keys, link.purpose, oneTimeTokenId);
  return `${publicUrl}/api/v1/users/${encodeUserId(userId)}/${link.path}/${token}/`;
}
