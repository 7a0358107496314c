// Not run, but checked by tsc with its strictest options: what a program of a user may write.
import { type APIError, Client, type CallOptions, type Deployment, NotFoundError, type Project, webhooks } from "@ai-agents/sdk";
import { verify } from "@ai-agents/sdk/webhooks";

const client = new Client({ baseUrl: "https://api.example.com", apiKey: "k", maxRetries: 1 });

export async function lists(): Promise<readonly Project[]> {
  const page = await client.projects.list({ org_id: "o", status: "a_status_of_a_newer_server" });
  for await (const { name, tech_stack } of client.projects.list({ org_id: "o" })) {
    name.toUpperCase();
    tech_stack.map((one) => one.length);
  }
  // @ts-expect-error: an organization must be named
  client.projects.list({});
  // @ts-expect-error: no such argument
  client.projects.list({ org_id: "o", colour: "red" });
  return page.data;
}

export async function deploys(signal: AbortSignal): Promise<Deployment> {
  const options: CallOptions = { signal, timeout: 1000, maxRetries: 0, idempotencyKey: "k", extraHeaders: { A: "b" } };
  const operation = await client.features.buildAndDeploy(
    { feature_id: "f", version_tag: "1.0.0", git_branch: "main", environment: "production", approval_notes: null },
    options,
  );
  await operation.wait({ timeout: Number.POSITIVE_INFINITY, onProgress: ({ progress_percent }) => progress_percent.toFixed() });
  return operation.result();
}

export function told(error: unknown): string {
  if (error instanceof NotFoundError) {
    const { code, details, requestId }: APIError = error;
    return [code ?? "", requestId ?? "", ...details.map((one) => one.field)].join();
  }
  return "";
}

export async function received(request: Request): Promise<string> {
  const event = await webhooks.verify(await request.text(), request.headers, ["new", "old"], { toleranceSeconds: 60 });
  switch (event.event) {
    case "deployment.completed":
      return event.data.deployment.id ?? "";
    case "ping":
      return event.data.webhook.url;
    default:
      return event.event;
  }
}

export const same: typeof webhooks.verify = verify;
export const promised: Promise<Project> = client.projects.get({ project_id: "p" });
