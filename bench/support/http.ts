import { Agent, request } from "node:http";

/** @returns the status; the body is read and thrown away */
export type Send = (
  method: string,
  path: string,
  body?: object,
  headers?: Readonly<Record<string, string>>,
) => Promise<number>;

/** Connections that are kept, and a client address that is new for each request: what is measured is not the limit per address. */
export function httpClient(url: string): Send {
  const agent = new Agent({ keepAlive: true, maxSockets: Infinity });
  let sent = 0;
  return (method, path, body, further) =>
    new Promise((resolve, reject) => {
      const text = body && JSON.stringify(body);
      const from = `10.${(++sent >> 16) & 255}.${(sent >> 8) & 255}.${sent & 255}`;
      const headers = {
        "x-forwarded-for": from,
        ...further,
        ...(text && { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
      };
      const sending = request(new URL(path, url), { method, agent, headers }, (response) => {
        response.resume().once("end", () => resolve(response.statusCode ?? 0));
      });
      sending.once("error", reject).end(text);
    });
}
