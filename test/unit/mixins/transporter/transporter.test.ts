import { expect, test } from "@jest/globals";
import { createTransporter } from "../../../../mixins/transporter/transporter.ts";
import { config, memoryLog } from "../../helpers.ts";

const warnings = (TRANSPORTER: string, production = true): string[] => {
  const { transporter } = config({ TRANSPORTER });
  const log = memoryLog();
  if (transporter) createTransporter(transporter, production, log);
  expect(log.text()).not.toContain("hidden");
  return log.lines.map(({ message }) => (message.includes("credentials") ? "credentials" : "encryption"));
};

test.each([
  ["nats://nats", ["encryption", "credentials"]],
  ["nats://me:hidden@nats", ["encryption"]],
  ["nats+tls://nats", ["credentials"]],
  ["nats+tls://me:hidden@nats", []],
  ["redis://redis", ["encryption", "credentials"]],
  ["rediss://:hidden@redis", []],
  ["tcp://a:4000", []],
])("createTransporter, %s in production: warns of what is open", (url, expected) => {
  expect(warnings(url)).toEqual(expected);
  expect(warnings(url, false)).toEqual([]);
});
