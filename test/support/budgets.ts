/**
 * For whoever makes many requests from one address: all tests and loads do. What throttling does without this is seen in
 * test/security/throttling-*.test.ts.
 */
export const generousBudgets = {
  THROTTLE_WRONG_PASSWORDS: "50",
  THROTTLE_PER_IP: "1000000",
  THROTTLE_MAILS: "1000000",
} as const;
