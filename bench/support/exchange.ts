import { request, type Agent } from "node:http";

/** @returns the next refresh token. @throws Error when there is none */
export function exchange(url: string, agent: Agent, token: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { cookie: `refresh_token=${token}`, "content-type": "application/json", "content-length": 2 };
    const sending = request(`${url}/api/v1/tokens/refresh/`, { method: "POST", agent, headers }, (response) => {
      response.resume().once("end", () => {
        const cookies = response.headers["set-cookie"] ?? [];
        const next = cookies.map((cookie) => /^refresh_token=([^;]+);/.exec(cookie)?.[1]).find((text) => text);
        if (next === undefined) reject(new Error(`a refresh token was refused: ${response.statusCode ?? 0}`));
        else resolve(next);
      });
    });
    sending.once("error", reject).end("{}");
  });
}
