import { generate } from "selfsigned";

/** PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}
export interface Authority extends Certificate {
  /** For 127.0.0.1 and localhost, unless it is for another host, and valid for a year unless it has expired. */
  issue(name?: string, options?: { readonly host?: string; readonly expired?: boolean }): Promise<Certificate>;
}

const common = { keyType: "ec", algorithm: "sha256" } as const;
const named = (value: string) => [{ name: "commonName", value }];

/** A certificate authority that exists for one test run: its private keys are never on a disk that outlives it. */
export async function createAuthority(name = "Test CA"): Promise<Authority> {
  const own = await generate(named(name), {
    ...common,
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, critical: true },
    ],
  });
  const ca = { key: own.private, cert: own.cert };
  return {
    ...ca,
    issue: async (subject = "localhost", { host, expired = false } = {}) => {
      const own = [
        { type: 2, value: "localhost" },
        { type: 7, ip: "127.0.0.1" },
      ] as const;
      const altNames = host === undefined ? [...own] : [{ type: 2, value: host } as const];
      const extensions = [{ name: "subjectAltName" as const, altNames }];
      const dates = expired ? { notBeforeDate: new Date("2024-01-01"), notAfterDate: new Date("2024-02-01") } : {};
      const issued = await generate(named(subject), { ...common, ...dates, ca, extensions });
      return { key: issued.private, cert: issued.cert };
    },
  };
}
