/** Talks to the service as a front end does: JSON, and cookies by path. */
export interface Browser {
  /** @returns the status and the parsed answer */
  ask(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer>;
  /** Value of a cookie that the service has set. */
  cookie(name: string): string | undefined;
}
export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Longer than any answer may take; the demo should say what did not answer, and not hang. */
const answerWithinMs = 8000;

export function openBrowser(base: string): Browser {
  const cookies = new Map<string, { readonly name: string; readonly value: string; readonly path: string }>();

  const keep = (line: string): void => {
    const [pair = "", ...attributes] = line.split(/; */);
    const [name = "", value = ""] = pair.split(/=(.*)/s);
    const attribute = (wanted: string) =>
      attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`))?.slice(wanted.length + 1);
    const path = attribute("path") ?? "/";
    if (attribute("max-age") === "0") cookies.delete(`${name} ${path}`);
    else cookies.set(`${name} ${path}`, { name, value, path });
  };

  return {
    cookie: (name) => [...cookies.values()].find((cookie) => cookie.name === name)?.value,
    ask: async (method, path, body) => {
      const sent = [...cookies.values()].filter((cookie) => path.startsWith(cookie.path));
      const response = await fetch(base + path, {
        method,
        signal: AbortSignal.timeout(answerWithinMs),
        headers: {
          accept: "application/json",
          cookie: sent.map(({ name, value }) => `${name}=${value}`).join("; "),
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      response.headers.getSetCookie().forEach(keep);
      return { status: response.status, body: (await response.json()) as Answer["body"] };
    },
  };
}
