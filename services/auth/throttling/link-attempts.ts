import { errorType } from "../../../lib/errors.ts";
import type { Actor } from "../../../lib/principal.ts";
import type { AuthDeps } from "../deps.ts";
import { ofNetwork } from "./subjects.ts";

/**
 * Follows a mailed link if its network may still try: guesses are counted, links that are good are not.
 * @throws ServiceError `too_many_requests`, before anything is looked up
 */
export async function attemptLink<T>({ throttle }: AuthDeps, actor: Actor, follow: () => Promise<T>): Promise<T> {
  const spent = await throttle.spend(actor, "wrong-links-from-ip", ofNetwork(actor));
  let isGuess = false;
  try {
    return await follow();
  } catch (error) {
    isGuess = ["invalid_link", "not_found"].includes(errorType(error) ?? "");
    throw error;
  } finally {
    // The link has been followed already: that this fails changes nothing about it.
    if (!isGuess) await throttle.takeBack([spent]).catch(() => undefined);
  }
}
