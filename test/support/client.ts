export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Parsed JSON. */
  json(): Record<string, unknown>;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is. */
  readonly raw?: string;
  /** Sent as a form, with its files. */
  readonly form?: FormData;
}

/** An HTTP client that keeps cookies by path as a browser does. */
export class Client {
  readonly base: string;
  readonly cookies = new Map<string, { name: string; value: string; path: string }>();

  constructor(base: string) {
    this.base = base;
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const cookies = [...this.cookies.values()].filter((cookie) => path.startsWith(cookie.path));
    const response = await fetch(this.base + path, {
      method,
      redirect: "manual",
      headers: {
        ...(options.body !== undefined && { "content-type": "application/json" }),
        ...(cookies.length > 0 && { cookie: cookies.map(({ name, value }) => `${name}=${value}`).join("; ") }),
        ...options.headers,
      },
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
      ...(options.raw !== undefined && { body: options.raw }),
      ...(options.form !== undefined && { body: options.form }),
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: () => JSON.parse(text) as Record<string, unknown>,
    };
  }

  get = (path: string, options?: RequestOptions): Promise<Answer> => this.request("GET", path, options);
  post = (path: string, body?: unknown, options?: RequestOptions): Promise<Answer> =>
    this.request("POST", path, { body, ...options });

  /** The value of a kept cookie. */
  cookie(name: string): string | undefined {
    return [...this.cookies.values()].find((cookie) => cookie.name === name)?.value;
  }

  #keep(line: string): void {
    const [pair = "", ...attributes] = line.split(/; */);
    const name = pair.slice(0, pair.indexOf("="));
    const value = pair.slice(pair.indexOf("=") + 1);
    const path = attributes.find((text) => text.toLowerCase().startsWith("path="))?.slice(5) ?? "/";
    if (attributes.includes("Max-Age=0")) this.cookies.delete(`${name} ${path}`);
    else this.cookies.set(`${name} ${path}`, { name, value, path });
  }
}
