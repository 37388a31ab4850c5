/** `EX_USAGE` of sysexits.h. */
export const usageExitCode = 64;

/** The command was called wrongly: exit status 64, with a sentence that says how to call it. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
