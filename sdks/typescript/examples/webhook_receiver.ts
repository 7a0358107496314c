// Receives webhooks: WEBHOOK_SECRETS has the secret, or two of them with a comma while it is rotated.
import { createServer } from "node:http";
import { WebhookVerificationError, webhooks } from "@ai-agents/sdk";

const secrets = (process.env["WEBHOOK_SECRETS"] ?? "").split(",");
const seen = new Set<string>();

const server = createServer(async (request, response) => {
  const pieces: Buffer[] = [];
  for await (const piece of request) {
    pieces.push(piece as Buffer);
  }
  try {
    const event = await webhooks.verify(Buffer.concat(pieces), request.headers, secrets);
    response.writeHead(204).end();
    if (!seen.has(event.event_id)) {
      seen.add(event.event_id);
      console.log(event.event);
    }
  } catch (error) {
    response.writeHead(error instanceof WebhookVerificationError ? 400 : 500).end();
  }
});
server.listen(Number(process.env["PORT"] ?? 8000), "127.0.0.1", () => console.log("listening"));
