import type { Readable } from "node:stream";
import { ServiceError } from "../../lib/errors.ts";
import type { Actor } from "../../lib/principal.ts";
import { changeProfile } from "../../mixins/accounts/account-changes.ts";
import { fullView, type Account, type FullView } from "../../mixins/accounts/account.ts";
import { findAccount, lockAccount } from "../../mixins/accounts/accounts.repository.ts";
import { appendAudit } from "../../mixins/accounts/audit.repository.ts";
import { changeDetails } from "../../mixins/accounts/changed-fields.ts";
import { lockLiveSession } from "../../mixins/accounts/sessions.repository.ts";
import type { PictureDeps } from "./deps.ts";
import { hasSameContent, nameIn, pathOf, pictureName } from "./pictures/picture-name.ts";

export interface NewPicture {
  /** Whose picture it becomes. */
  readonly id: number;
  /** A file, see lib/file-stream.ts. */
  readonly upload: Readable | undefined;
}

/**
 * A new picture, of somebody's own account or, for moderators, of any. The file is there before the profile names it, and
 * the old one goes when nobody names it any more: whenever the process is killed, at most a file too many is left (sweep.ts).
 */
export async function changePicture(deps: PictureDeps, { id, upload }: NewPicture, actor: Actor): Promise<FullView> {
  const { config, clock, db, storage } = deps;
  const isOwn = actor.principal?.userId === id;
  const before = await findAccount(db, id);
  if (!before) throw new ServiceError(isOwn ? "not_authenticated" : "not_found");

  const picture = await deps.renderPicture(upload);
  const name = pictureName(id, picture);
  await storage.write(name, picture);

  // Only the commit is left to do: of that alone a failure does not tell whether it happened.
  const state = { committing: false };
  try {
    const { locked, after } = await db.transaction(async (tx) => {
      state.committing = false;
      const locked = await lockAccount(tx, id);
      if (!locked) throw new ServiceError("not_found");
      // While the picture was rendered the account may have been deactivated, or this session ended, alone or with all.
      if (isOwn) {
        const session = await lockLiveSession(tx, actor.principal.sessionId);
        if (!(locked.isActive && locked.sessionEpoch === before.sessionEpoch && session))
          throw new ServiceError("session_ended");
      }
      const after = isShownAlready(locked, name)
        ? locked
        : await changeProfile(config, tx, locked, { imagePath: pathOf(name) });
      const about = { subjectId: id, details: changeDetails(locked, after) };
      await appendAudit(tx, isOwn ? "user_updated" : "authz_change", actor, about);
      state.committing = true;
      return { locked, after };
    });
    await remove(deps, after === locked ? name : nameIn(locked.profile.imagePath));
    tell(deps, id, after.version - locked.version, actor, isOwn);
    return fullView(after, config.publicUrl, clock.now());
  } catch (error) {
    if (!state.committing) await remove(deps, name);
    throw error;
  }
}

/** The same picture again is no change: those who have it keep it. */
function isShownAlready({ profile }: Account, name: string): boolean {
  const shown = nameIn(profile.imagePath);
  return shown !== undefined && hasSameContent(shown, name);
}

/** A file too many is no reason to tell somebody that his change failed. */
async function remove({ storage, log }: PictureDeps, name: string | undefined): Promise<void> {
  if (name === undefined) return;
  await storage.remove(name).catch((error: unknown) => {
    log.warn({ reason: String(error) }, "a picture that nobody names could not be removed");
  });
}

function tell({ securityLog }: PictureDeps, id: number, changes: number, actor: Actor, isOwn: boolean): void {
  if (isOwn) securityLog("user_updated", actor, { picture: changes });
  else securityLog("authz_change", actor, { subject_id: id, changes });
}
