import { describe, expect, test } from "@jest/globals";
import { createSecurityLog } from "../../../lib/security-log.ts";
import { actor, memoryLog, principal } from "../helpers.ts";

describe("security log", () => {
  test("one line says what happened, who did it, from where and in which request", () => {
    const log = memoryLog();
    const by = actor({ principal: principal({ userId: 7 }) });
    createSecurityLog(log)("user_created", by, { subject_id: 8, role: "CU" });
    expect(log.lines).toEqual([
      {
        level: "info",
        message: "user_created",
        fields: {
          event: "user_created",
          user_id: 7,
          subject_id: 8,
          role: "CU",
          ip: "192.0.2.1",
          user_agent: "test",
          request_id: "request-1",
        },
      },
    ]);
  });

  test("without a principal nobody is named, and fields may be left out", () => {
    const log = memoryLog();
    createSecurityLog(log)("malicious_csrf", actor());
    expect(log.lines[0]?.fields).toMatchObject({ event: "malicious_csrf", user_id: undefined });
  });

  test("where it came from is the actor's, whatever the fields say", () => {
    const log = memoryLog();
    createSecurityLog(log)("authn_login_fail", actor(), { ip: "203.0.113.9", request_id: "other" });
    expect(log.lines[0]?.fields).toMatchObject({ ip: "192.0.2.1", request_id: "request-1" });
  });
});
