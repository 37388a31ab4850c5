import { generate } from "selfsigned";

/** PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}
export interface Authority extends Certificate {
  /** For 127.0.0.1 and localhost. */
  issue(name?: string): Promise<Certificate>;
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
    issue: async (subject = "localhost") => {
      const altNames = [
        { type: 2, value: "localhost" },
        { type: 7, ip: "127.0.0.1" },
      ] as const;
      const extensions = [{ name: "subjectAltName" as const, altNames: [...altNames] }];
      const issued = await generate(named(subject), { ...common, ca, extensions });
      return { key: issued.private, cert: issued.cert };
    },
  };
}
