import "./global-setup.ts";

export default async function globalTeardown(): Promise<void> {
  await Promise.all(globalThis.stopAfterTests.map((stop) => stop()));
}
