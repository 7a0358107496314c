// A real server on loopback that answers as a test says: each request takes the next answer, the last one for ever.
import { createServer } from "node:http";
import { Client } from "@ai-agents/sdk";

export const envelope = (data, more = {}) => ({
  success: true,
  status: 200,
  data,
  meta: { timestamp: "2026-01-01T00:00:00Z", request_id: "req-1", version: "1.0" },
  ...more,
});

export const failure = (code, message = "no", details = null) => ({
  success: false,
  error: { code, message, details },
  meta: { timestamp: "2026-01-01T00:00:00Z", request_id: "req-1", version: "1.0" },
});

/** Sends JSON. */
export const json = (body, status = 200, headers = {}) => (_, response) => {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(body));
};

/** Sends a text. */
export const text = (body, status = 200, headers = {}) => (_, response) => {
  response.writeHead(status, headers);
  response.end(body);
};

/** Sends events, then ends, or breaks the connection. */
export const stream = (body, { broken = false } = {}) => (_, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(body);
  if (broken) {
    response.on("error", () => undefined);
    setImmediate(() => setImmediate(() => response.destroy()));
  } else {
    response.end();
  }
};

/** `answers`: a list of them, or a function of the request that gives one. */
export async function serve(test, answers) {
  const requests = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const piece of request) {
      body += piece;
    }
    const { method, url, headers } = request;
    const seen = { method, url, headers, body };
    requests.push(seen);
    const answer = typeof answers === "function" ? answers(seen, requests.length) : answers[Math.min(requests.length, answers.length) - 1];
    answer(seen, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${server.address().port}`;
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const logged = [];
  const logger = Object.fromEntries(
    ["debug", "info", "warn", "error"].map((level) => [level, (message) => logged.push({ level, message })]),
  );
  const client = (options = {}) => {
    const own = options.token || options.clientId ? {} : { apiKey: "sk-live_secret" };
    return new Client({ baseUrl: address, logger, logLevel: "debug", ...own, ...options });
  };
  return { address, requests, client, logged };
}
