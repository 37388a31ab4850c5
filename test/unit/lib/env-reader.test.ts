import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { EnvReader } from "../../../lib/env-reader.ts";

/** What a method makes of one variable `X`, and what it says against it. */
function read<T>(value: string | undefined, method: (reader: EnvReader) => T): { value: T; problems: string[] } {
  const reader = new EnvReader({ X: value });
  return { value: method(reader), problems: reader.problems };
}
const ok = <T>(value: T) => ({ value, problems: [] });

describe("EnvReader.optional and text", () => {
  test.each([undefined, "", "   ", "\n"])("%j counts as unset", (value) => {
    expect(read(value, (reader) => reader.optional("X"))).toEqual(ok(undefined));
    expect(read(value, (reader) => reader.text("X", "else"))).toEqual(ok("else"));
  });

  test("surrounding space does not belong to a value", () => {
    expect(read(" a b ", (reader) => reader.text("X", "else"))).toEqual(ok("a b"));
  });
});

describe("EnvReader.required", () => {
  test.each([undefined, "", " "])("%j is told", (value) => {
    expect(read(value, (reader) => reader.required("X"))).toEqual({ value: "", problems: ["X is required"] });
  });

  test("a value is no problem", () => {
    expect(read("a", (reader) => reader.required("X"))).toEqual(ok("a"));
  });
});

describe("EnvReader.password", () => {
  const defaults = ["postgres", "POSTGRES", "password", "changeme", "admin", "secret", "root", "user", "test", "guest"];
  const password = (value: string, strict: boolean) => read(value, (reader) => reader.password("X", "me", strict));

  test.each(defaults)("%s is refused where it is strict, and only there", (value) => {
    expect(password(value, true).problems).toEqual(["X is a default password"]);
    expect(password(value, false).problems).toEqual([]);
  });

  test.each(["me", "ME"])("%s, the name of its user, is refused where it is strict, and only there", (value) => {
    expect(password(value, true).problems).toEqual(["X is a password that is its user's name"]);
    expect(password(value, false).problems).toEqual([]);
  });

  test("a missing one is one problem and not two, also where the user is missing as well", () => {
    expect(password("", true).problems).toEqual(["X is required"]);
    expect(read("", (reader) => reader.password("X", "", true)).problems).toEqual(["X is required"]);
  });
});

describe("EnvReader.credentials", () => {
  const credentials = (before: string, strict = true) => {
    const reader = new EnvReader({});
    reader.credentials("X", new URL(`nats://${before}host`), strict);
    return reader.problems;
  };

  test.each([
    ["nats:password@", "X has a default password"],
    [":Password@", "X has a default password"],
    ["nats:p%61ssword@", "X has a default password"],
    ["svc:svc@", "X has a password that is its user's name"],
    ["a%20b:a%20b@", "X has a password that is its user's name"],
    ["a%zz:a%zz@", "X has a password that is its user's name"],
  ])("%s is refused where it is strict, and only there", (before, problem) => {
    expect([credentials(before), credentials(before, false)]).toEqual([[problem], []]);
  });

  test.each(["", "token@", "svc:a-long-password@", ":a-long-password@"])("%j is none of these", (before) => {
    expect(credentials(before)).toEqual([]);
  });
});

describe("EnvReader.secret", () => {
  const good = "0123456789abcdef0123456789abcdef";

  test("32 bytes with eight different characters are enough", () => {
    expect(read(good, (reader) => reader.secret("X", true))).toEqual(ok(good));
    expect(read(good, (reader) => reader.optionalSecret("X", true))).toEqual(ok(good));
  });

  test.each([
    ["31 bytes", good.slice(1), "X has fewer than 32 bytes"],
    ["one character", "a", "X has fewer than 32 bytes"],
    ["one character often", "a".repeat(64), "X has too few different characters"],
    ["seven characters often", "abcdefg".repeat(9), "X has too few different characters"],
  ])("%s is refused, in development as well", (_, value, problem) => {
    for (const strict of [true, false]) {
      expect(read(value, (reader) => reader.secret("X", strict)).problems).toEqual([problem]);
      expect(read(value, (reader) => reader.optionalSecret("X", strict)).problems).toEqual([problem]);
    }
  });

  test("bytes are counted and not characters", () => {
    expect(read("äöüßàéèñçøåæœščž", (reader) => reader.secret("X", true)).problems).toEqual([]);
  });

  test.each([
    ["django-insecure-0123456789abcdefghijkl", "X is a default secret"],
    ["CHANGE_ME-0123456789-abcdefghijklmnop", "X is a default secret"],
    ["changeme0123456789abcdefghijklmnop", "X is a default secret"],
    ["abcdefgh".repeat(4), "X is a shorter text, repeated"],
    ["abcdefgh".repeat(4) + "abc", "X is a shorter text, repeated"],
  ])("%s is refused where it is strict, and only there, required or not", (value, problem) => {
    for (const method of ["secret", "optionalSecret"] as const) {
      expect(read(value, (reader) => reader[method]("X", true)).problems).toEqual([problem]);
      expect(read(value, (reader) => reader[method]("X", false)).problems).toEqual([]);
    }
  });

  test("an optional one may be missing, a required one may not", () => {
    expect(read(undefined, (reader) => reader.optionalSecret("X", true))).toEqual(ok(undefined));
    expect(read(undefined, (reader) => reader.secret("X", false)).problems).toEqual(["X is required"]);
  });
});

describe("EnvReader.integer", () => {
  const integer = (value: string | undefined) => read(value, (reader) => reader.integer("X", 5, { min: 1, max: 10 }));

  test.each([
    ["1", 1],
    ["10", 10],
    [" 7 ", 7],
    ["007", 7],
    [undefined, 5],
    ["", 5],
  ])("%j is %d", (text, value) => {
    expect(integer(text)).toEqual(ok(value));
  });

  test.each(["0", "11", "-1", "+5", "5.0", "1e1", "0x5", "five", "5 5", "NaN", "Infinity", "1000000000000", "٥"])(
    "%s is refused, and the fallback goes on",
    (text) => {
      expect(integer(text)).toEqual({ value: 5, problems: ["X must be a whole number from 1 to 10"] });
    },
  );

  test.each([
    ["0", []],
    ["65535", []],
    ["65536", ["X must be a whole number from 0 to 65535"]],
    ["http", ["X must be a whole number from 0 to 65535"]],
  ])("port %s", (text, problems) => {
    expect(read(text, (reader) => reader.port("X", 8000)).problems).toEqual(problems);
  });
});

describe("EnvReader.boolean", () => {
  test.each([
    ["True", true],
    ["true", true],
    ["TRUE", true],
    ["1", true],
    ["False", false],
    ["false", false],
    ["0", false],
    [" True ", true],
  ])("%j is %s, whatever the fallback", (text, value) => {
    expect(read(text, (reader) => reader.boolean("X", true))).toEqual(ok(value));
    expect(read(text, (reader) => reader.boolean("X", false))).toEqual(ok(value));
  });

  test("unset is the fallback", () => {
    expect(read(undefined, (reader) => reader.boolean("X", true))).toEqual(ok(true));
  });

  test.each(["yes", "no", "on", "off", "2", "t", "True/False", "null"])("%s is refused", (text) => {
    expect(read(text, (reader) => reader.boolean("X", false)).problems).toEqual(["X must be True or False"]);
  });
});

describe("EnvReader.duration", () => {
  const duration = (value: string | undefined) => read(value, (reader) => reader.duration("X", 60));

  test.each([
    ["90s", 90],
    ["15m", 900],
    ["12h", 43_200],
    ["10d", 864_000],
    [undefined, 60],
  ])("%j is %d seconds", (text, seconds) => {
    expect(duration(text)).toEqual(ok(seconds));
  });

  test.each(["10", "0s", "-1d", "1.5h", "1 d", "1D", "1w", "1ms", "d", "1d1h", "12345678d", "∞"])(
    "%s is refused",
    (text) => {
      expect(duration(text)).toEqual({ value: 60, problems: ["X must be a time such as 90s, 15m, 12h or 10d"] });
    },
  );
});

describe("EnvReader.duration with a most", () => {
  test.each([
    ["30d", []],
    ["720h", []],
    ["721h", ["X must be at most 30d"]],
    ["9999999d", ["X must be at most 30d"]],
  ])("%s", (text, problems) => {
    expect(read(text, (reader) => reader.duration("X", 60, 30)).problems).toEqual(problems);
  });
});

describe("EnvReader.date", () => {
  const date = (value: string | undefined) => read(value, (reader) => reader.date("X"));

  test.each([
    ["2026-12-31", "2026-12-31T00:00:00.000Z"],
    ["2028-02-29", "2028-02-29T00:00:00.000Z"],
    ["2026-12-31T18:30Z", "2026-12-31T18:30:00.000Z"],
    ["2026-12-31T18:30:15Z", "2026-12-31T18:30:15.000Z"],
    ["2026-12-31T18:30:15.250Z", "2026-12-31T18:30:15.250Z"],
  ])("%s is %s", (text, moment) => {
    expect(date(text)).toEqual(ok(Date.parse(moment)));
  });

  test("unset is none", () => {
    expect(date(undefined)).toEqual(ok(undefined));
  });

  test.each([
    ["a number", "1798675200"],
    ["another order", "31-12-2026"],
    ["without a zone: whose midnight would that be?", "2026-12-31T18:30:00"],
    ["another zone", "2026-12-31T18:30:00+02:00"],
    ["the 13th month", "2026-13-01"],
    ["31 February, which V8 reads as 3 March", "2026-02-31"],
    ["29 February of a common year", "2026-02-29T00:00:00Z"],
    ["25 o'clock", "2026-12-31T25:00:00Z"],
    ["24 o'clock", "2026-12-31T24:00:00Z"],
    ["a word behind it", "2026-12-31 soon"],
    ["a word", "tomorrow"],
  ])("%s is refused", (_, text) => {
    const problems = ["X must be a date such as 2026-12-31 or 2026-12-31T18:00:00Z"];
    expect(date(text)).toEqual({ value: undefined, problems });
  });
});

describe("EnvReader.oneOf and list", () => {
  const oneOf = (value: string | undefined) => read(value, (reader) => reader.oneOf("X", ["red", "green"], "red"));
  const list = (value: string | undefined) => read(value, (reader) => reader.list("X", ["a", "b", "c"]));

  test.each([
    ["green", "green"],
    ["GREEN", "green"],
    [undefined, "red"],
  ])("one of: %j is %s", (text, value) => {
    expect(oneOf(text)).toEqual(ok(value));
  });

  test.each(["blue", "red,green", "toString"])("one of: %s is refused", (text) => {
    expect(oneOf(text)).toEqual({ value: "red", problems: ["X must be one of red, green"] });
  });

  test.each([
    [undefined, ["a", "b", "c"]],
    ["", ["a", "b", "c"]],
    ["b", ["b"]],
    ["c, a", ["a", "c"]],
    ["a,a", ["a"]],
  ])("list: %j is %j, in our order", (text, value) => {
    expect(list(text)).toEqual(ok(value));
  });

  test.each(["d", "a,d", "a,", ",", "A", "a;b", "a b"])("list: %j is refused", (text) => {
    expect(list(text).problems).toEqual(["X must be a list out of a, b, c"]);
  });
});

describe("EnvReader.url and origins", () => {
  const url = (value: string | undefined) => read(value, (reader) => reader.url("X", ["nats:", "redis:"]));
  const origins = (value: string | undefined) => read(value, (reader) => reader.origins("X"));

  test.each(["nats://host:4222", "redis://:secret@host/0", undefined])("url: %s", (text) => {
    expect(url(text)).toEqual(ok(text));
  });

  test.each(["http://host", "host:4222", "nats", "javascript:alert(1)", "//host", "nats//host"])(
    "url: %s is refused",
    (text) => {
      expect(url(text).problems).toEqual(["X must be a URL that starts with nats: or redis://"]);
    },
  );

  test.each([
    ["https://app.example.com", ["https://app.example.com"]],
    ["https://a.co, http://b.co:8080", ["https://a.co", "http://b.co:8080"]],
    [undefined, undefined],
  ])("origins: %s", (text, value) => {
    expect(origins(text)).toEqual(ok(value));
  });

  test.each([
    ["a star", "*"],
    ["a wildcard", "https://*.example.com/"],
    ["null", "null"],
    ["a trailing slash", "https://app.example.com/"],
    ["a path", "https://app.example.com/x"],
    ["no protocol", "app.example.com"],
    ["a default port", "https://app.example.com:443"],
    ["upper case", "https://APP.example.com"],
    ["a user", "https://user@app.example.com"],
    ["a file", "file:///etc/passwd"],
    ["a comma too many", "https://app.example.com,"],
    ["one bad out of two", "https://app.example.com,evil"],
  ])("origins: %s is refused", (_, text) => {
    expect(origins(text).problems).toEqual(["X must be a list of origins such as https://app.example.com"]);
  });
});

describe("EnvReader.email", () => {
  const email = (env: Record<string, string>) => {
    const reader = new EnvReader(env);
    return { value: reader.email("FROM", "USER"), problems: reader.problems };
  };

  test("the first counts, and the second when there is none", () => {
    expect(email({ FROM: "a@b.co", USER: "c@d.co" })).toEqual(ok("a@b.co"));
    expect(email({ FROM: "", USER: "c@d.co" })).toEqual(ok("c@d.co"));
  });

  test("neither is told", () => {
    expect(email({}).problems).toEqual(["FROM is required when USER is no e-mail address"]);
  });

  test.each(["apikey", "Anna <a@b.co>", "a@b.co,c@d.co", "a@b.co\r\nBcc: c@d.co"])("%j is refused", (text) => {
    expect(email({ FROM: text, USER: "c@d.co" }).problems).toEqual(["FROM must be an e-mail address"]);
    expect(email({ USER: text }).problems).toEqual(["FROM is required when USER is no e-mail address"]);
  });
});

describe("EnvReader.file", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "env-reader-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("gives the contents", () => {
    const path = join(folder, "ca.pem");
    writeFileSync(path, "-----BEGIN CERTIFICATE-----\n");
    expect(read(path, (reader) => reader.file("X"))).toEqual(ok("-----BEGIN CERTIFICATE-----\n"));
  });

  test("unset is nothing", () => {
    expect(read(undefined, (reader) => reader.file("X"))).toEqual(ok(undefined));
  });

  test.each(["missing.pem", "."])("%s cannot be read", (name) => {
    const result = read(join(folder, name), (reader) => reader.file("X"));
    expect(result).toEqual({ value: undefined, problems: ["X names a file that cannot be read"] });
  });
});
