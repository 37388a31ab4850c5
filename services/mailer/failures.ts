/**
 * What an attempt came to when the mail was not sent. `deferred`: the server wants this mail later. `refused`: it will never
 * take it. `unavailable`: it takes no mail at all now. `unmade`: there was nothing to send. `superseded`: what the mail says is
 * no longer so. migrations/0009-mail-queue.sql has the same words.
 */
export const failureOutcomes = ["deferred", "refused", "unavailable", "unmade", "superseded"] as const;
export type FailureOutcome = (typeof failureOutcomes)[number];

export interface Failure {
  readonly outcome: FailureOutcome;
  /** Of nodemailer and of the SMTP server, never its sentence: that may repeat the address. */
  readonly code: string;
}

interface SmtpError {
  /** nodemailer's, such as EENVELOPE. */
  readonly code?: string;
  readonly name?: string;
  readonly responseCode?: number;
  /** The command that was answered; API where nodemailer itself refused. */
  readonly command?: string;
}

/** What they name is the mail; any other code names the connection, the sign-in or the sender, which is the same for all. */
const aboutTheMail: readonly (string | undefined)[] = ["RCPT TO", "DATA", "API"];
/** RFC 5321, 3.8 and RFC 4954: the server ends, or wants a sign-in; that is the operator's to mend. */
const aboutTheServer: readonly (number | undefined)[] = [421, 530, 534, 535, 538];

/** RFC 5321, 4.2.1: 4yz may get better by itself, 5yz will not. */
export function failureOf(error: unknown): Failure {
  const { code, name, responseCode, command } = error as SmtpError;
  const told = [code ?? name, responseCode].filter((part) => part !== undefined).join(" ");
  const isRefusal = code === "EENVELOPE" || code === "EMESSAGE";
  if (isRefusal && aboutTheMail.includes(command) && !aboutTheServer.includes(responseCode)) {
    return { outcome: (responseCode ?? 500) >= 500 ? "refused" : "deferred", code: told };
  }
  return { outcome: code === undefined ? "deferred" : "unavailable", code: told };
}

const giveUpAfterSeconds = 5 * 24 * 60 * 60;

/**
 * When the next attempt is due: twice as long each time, with jitter, so that what failed together does not come back
 * together. Short where the server is away, for the mail is not to blame. After five days of "later" (RFC 5321, 4.5.4.1) a
 * mail is given up.
 * @returns seconds, or `undefined` when there is no next attempt
 */
export function retryAfter(
  { outcome }: Failure,
  mail: { readonly attempts: number; readonly deferrals: number; readonly ageSeconds: number },
): number | undefined {
  if (outcome === "unavailable") return pause(2, mail.attempts - 1, 15);
  if (outcome === "deferred" && mail.ageSeconds < giveUpAfterSeconds) return pause(10, mail.deferrals, 15 * 60);
  return undefined;
}

const pause = (first: number, times: number, longest: number): number =>
  Math.min(longest, first * 2 ** times) * (0.5 + Math.random() / 2);
