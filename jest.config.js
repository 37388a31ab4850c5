/** Tests run on Node's own type stripping: the code under test is the code in production. */
export default {
  testEnvironment: "node",
  extensionsToTreatAsEsm: [".ts"],
  transform: { "\\.ts$": "<rootDir>/test/support/strip-types.cjs" },
  testMatch: ["<rootDir>/test/**/*.test.ts"],
  modulePathIgnorePatterns: ["<rootDir>/.data", "<rootDir>/.cache"],
  randomize: true,
  maxWorkers: 2,
  testTimeout: 30_000,
  globalSetup: "<rootDir>/test/support/global-setup.ts",
  globalTeardown: "<rootDir>/test/support/global-teardown.ts",
  coverageProvider: "babel",
  collectCoverageFrom: ["lib/**/*.ts", "mixins/**/*.ts", "services/**/*.ts"],
  coverageThreshold: { global: { lines: 95, branches: 90 } },
};
