// Does what sdks/conformance/PROTOCOL.md says with this SDK: a command a line on stdin, an answer a line on stdout.
import { createInterface } from "node:readline";
import { inspect } from "node:util";
import { AIAgentsError, Client, Page, VERSION, OperationHandle, webhooks } from "@ai-agents/sdk";

const clients = new Map();
const kept = new Map();
let counter = 0;
let warnings = [];
let logged = [];

const logger = Object.fromEntries(
  ["debug", "info", "warn", "error"].map((level) => [
    level,
    (message) => {
      logged.push(message);
      if (level === "warn" && message.includes("deprecated")) {
        warnings.push(message);
      }
    },
  ]),
);

const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const keep = (prefix, value) => {
  const name = `${prefix}${++counter}`;
  kept.set(name, value);
  return name;
};
const given = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined && value !== null));

function made({ name, options = {} }) {
  const { base_url, api_key, token, token_function, client_id, client_secret, refresh_token, scope, timeout, max_retries, extra_headers } = options;
  const client = new Client({
    logger,
    logLevel: "debug",
    ...given({
      baseUrl: base_url,
      apiKey: api_key,
      token: token_function === undefined ? token : () => token_function,
      clientId: client_id,
      clientSecret: client_secret,
      refreshToken: refresh_token,
      scope,
      timeout: timeout && timeout * 1000,
      maxRetries: max_retries,
      defaultHeaders: extra_headers,
    }),
  });
  clients.set(name, client);
  return {};
}

function started({ client, method, arguments: values = {}, options = {} }) {
  const [resource, name] = method.split(".").map(camel);
  const { timeout, max_retries, extra_headers, idempotency_key } = options;
  const own = given({
    timeout: timeout && timeout * 1000,
    maxRetries: max_retries,
    extraHeaders: extra_headers,
    idempotencyKey: idempotency_key,
  });
  const found = clients.get(client)?.[resource];
  if (typeof found?.[name] !== "function") {
    throw Object.assign(new Error(`no method ${method}, or no client ${client}`), { name: "Unsupported" });
  }
  const bare = found[name].length === 1; // roles.list(options): the API takes nothing there
  return bare ? found[name](own) : found[name](values, own);
}

function shown(value) {
  if (value instanceof Page) {
    return { value: { data: value.data, has_next_page: value.hasNextPage, total: value.total }, page: keep("p", value) };
  }
  if (value instanceof OperationHandle) {
    const { id, status, done, deploymentId } = value;
    return { operation: keep("o", value), operation_id: id, status, done, deployment_id: deploymentId };
  }
  return { value: value ?? null };
}

async function gathered(items, limit = Number.POSITIVE_INFINITY) {
  const values = [];
  if (limit > 0) {
    for await (const item of items) {
      if (values.push(item) >= limit) {
        break;
      }
    }
  }
  return { values };
}

const handle = (command) => kept.get(command.operation);
const seen = (operation, one) => ({ value: operation, status: one.status, done: one.done });

const COMMANDS = {
  hello: () => ({ language: "typescript", version: VERSION }),
  client: made,
  call: async (command) => shown(await started(command)),
  next_page: async ({ page }) => shown(await kept.get(page).getNextPage()),
  iterate: (command) => gathered(started(command), command.limit),
  lines: (command) => gathered(started({ ...command, arguments: { ...command.arguments, ...(command.follow !== undefined && { follow: command.follow }) } }), command.limit),
  raw: async (command) => {
    const { status, headers, body } = await started(command).withRawResponse();
    return { status, headers: Object.fromEntries(headers), body };
  },
  concurrently: async ({ calls }) => ({ answers: await Promise.all(calls.map((one) => answered({ ...one, do: "call" }))) }),
  resume: async ({ client, operation_id }) => shown(await clients.get(client).operations.resume(operation_id)),
  wait: async (command) => {
    const progress = [];
    const value = await handle(command).wait({
      ...timed(command),
      ...(command.poll_interval && { pollInterval: command.poll_interval * 1000 }),
      onProgress: (operation) => progress.push(operation.progress_percent),
    });
    return { value, progress };
  },
  result: async (command) => ({ value: await handle(command).result(timed(command)) }),
  cancel: async (command) => seen(await handle(command).cancel(), handle(command)),
  refresh: async (command) => seen(await handle(command).refresh(), handle(command)),
  webhook: async ({ payload, headers, secrets, tolerance, now }) => ({
    value: await webhooks.verify(payload, headers, secrets, given({ toleranceSeconds: tolerance, now })),
  }),
  warnings: () => {
    const values = warnings;
    warnings = [];
    return { values };
  },
  logs: () => {
    const value = logged.join("\n");
    logged = [];
    return { value };
  },
  repr: ({ client }) => ({ value: inspect(clients.get(client), { depth: 9, showHidden: true }) }),
  end: () => ({}),
};

const timed = ({ timeout }) => (timeout ? { timeout: timeout * 1000 } : {});

async function answered(command) {
  try {
    const run = COMMANDS[command.do];
    return run ? { ok: true, ...(await run(command)) } : { ok: false, error: { class: "Unsupported", message: `no command ${command.do}` } };
  } catch (error) {
    return { ok: false, error: told(error) };
  }
}

function told(error) {
  if (error instanceof AIAgentsError) {
    const { message, status, code, details, requestId, retryAfter, operationId, steps } = error;
    const classes = lineage(error);
    return { class: classes[0], classes, message, status, code, details, request_id: requestId, retry_after: retryAfter, operation_id: operationId, steps };
  }
  const name = error instanceof TypeError ? "InvalidArgument" : error?.name;
  return { class: name, classes: [], message: String(error?.message ?? error) };
}

function lineage(error) {
  const names = [];
  for (let one = error.constructor; one && one !== Error; one = Object.getPrototypeOf(one)) {
    if (one.name) {
      names.push(one.name);
    }
  }
  return names;
}


for await (const line of createInterface({ input: process.stdin })) {
  if (line.trim()) {
    const command = JSON.parse(line);
    process.stdout.write(`${JSON.stringify(await answered(command))}\n`);
    if (command.do === "end") {
      break;
    }
  }
}
