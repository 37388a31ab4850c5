import { describe, expect, test } from "@jest/globals";
import { failureOf, retryAfter } from "../../../../services/mailer/failures.ts";

/** As nodemailer makes it. */
const smtpError = (code: string, responseCode?: number, command = "RCPT TO") =>
  Object.assign(new Error("550 no such user Anna@example.com"), {
    code,
    command,
    ...(responseCode && { responseCode }),
  });
const day = 24 * 60 * 60;
const mail = { attempts: 1, deferrals: 0, ageSeconds: 1 };

describe("failureOf", () => {
  test.each([
    ["an unknown mailbox", smtpError("EENVELOPE", 550), "refused", "EENVELOPE 550"],
    ["the lowest 5yz", smtpError("EENVELOPE", 500), "refused", "EENVELOPE 500"],
    ["a refused message", smtpError("EMESSAGE", 554, "DATA"), "refused", "EMESSAGE 554"],
    ["a recipient that nodemailer does not take", smtpError("EENVELOPE", undefined, "API"), "refused", "EENVELOPE"],
    ["grey-listing", smtpError("EENVELOPE", 451), "deferred", "EENVELOPE 451"],
    ["a full mailbox", smtpError("EMESSAGE", 452, "DATA"), "deferred", "EMESSAGE 452"],
    ["an error without a code", new TypeError("x is not a function"), "deferred", "TypeError"],
    ["no connection", smtpError("ESOCKET", undefined, "CONN"), "unavailable", "ESOCKET"],
    ["silence", smtpError("ETIMEDOUT", undefined, "CONN"), "unavailable", "ETIMEDOUT"],
    ["a name that is not found", smtpError("EDNS", undefined, "CONN"), "unavailable", "EDNS"],
    [
      "a connection that breaks after the message",
      smtpError("ECONNECTION", undefined, "CONN"),
      "unavailable",
      "ECONNECTION",
    ],
    ["our sign-in refused", smtpError("EAUTH", 535, "AUTH PLAIN"), "unavailable", "EAUTH 535"],
    ["no STARTTLS", smtpError("ETLS", 502, "STARTTLS"), "unavailable", "ETLS 502"],
    ["a greeting that turns us away", smtpError("EPROTOCOL", 554, "CONN"), "unavailable", "EPROTOCOL 554"],
    ["our sender refused", smtpError("EENVELOPE", 550, "MAIL FROM"), "unavailable", "EENVELOPE 550"],
    ["a server that goes, at the recipient", smtpError("EENVELOPE", 421), "unavailable", "EENVELOPE 421"],
    ["a sign-in wanted, at the recipient", smtpError("EENVELOPE", 530), "unavailable", "EENVELOPE 530"],
  ])("%s", (_, error, outcome, code) => {
    expect(failureOf(error)).toEqual({ outcome, code });
  });
});

describe("retryAfter", () => {
  const pauses = (outcome: "deferred" | "unavailable", changes: Partial<typeof mail>) =>
    Array.from({ length: 200 }, () => retryAfter({ outcome, code: "" }, { ...mail, ...changes }) ?? Number.NaN);

  test.each([
    ["deferred", { deferrals: 0 }, 10],
    ["deferred", { deferrals: 1 }, 20],
    ["deferred", { deferrals: 5 }, 320],
    ["deferred", { deferrals: 1000 }, 900],
    ["unavailable", { attempts: 1 }, 2],
    ["unavailable", { attempts: 2 }, 4],
    ["unavailable", { attempts: 1000 }, 15],
  ] as const)("%s, %j: half of %d s to all of it, never twice the same", (outcome, changes, longest) => {
    const all = pauses(outcome, changes);
    expect(Math.max(...all)).toBeLessThanOrEqual(longest);
    expect(Math.min(...all)).toBeGreaterThanOrEqual(longest / 2);
    expect(new Set(all).size).toBeGreaterThan(100);
  });

  test.each(["refused", "unmade", "superseded"] as const)("%s: no next attempt", (outcome) => {
    expect(retryAfter({ outcome, code: "" }, mail)).toBeUndefined();
  });

  test("after five days of later: no next attempt; while the server is away there always is one", () => {
    const old = { ...mail, ageSeconds: 5 * day };
    expect(retryAfter({ outcome: "deferred", code: "" }, { ...old, ageSeconds: 5 * day - 1 })).toBeGreaterThan(0);
    expect(retryAfter({ outcome: "deferred", code: "" }, old)).toBeUndefined();
    expect(retryAfter({ outcome: "unavailable", code: "" }, old)).toBeGreaterThan(0);
  });
});
