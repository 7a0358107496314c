// Importing this file alone is enough to receive webhooks: it needs Web Crypto and nothing else of the SDK.
import { WebhookVerificationError } from "./errors.js";
import type { WebhookPayload } from "./generated/models.js";

/** Headers as fetch has them, or as Node's `request.headers`. Names are found in any case. */
export type WebhookHeaders =
  | { get(name: string): string | null | undefined }
  | Readonly<Record<string, string | readonly string[] | undefined>>;

export interface VerifyOptions {
  /** Seconds that the request may be older or younger than this machine's clock: 300. */
  readonly toleranceSeconds?: number | undefined;
  /** Seconds since 1970 that it is taken to be, for tests. */
  readonly now?: number | undefined;
}

const encoder = /* @__PURE__ */ new TextEncoder();

/**
 * The event of a webhook's request, once its signature is found to be right.
 *
 * `webhook-signature` (Standard Webhooks) decides where it is; only where it is not, `X-Signature-256` does, which has
 * no time in it: an `event_id` that was seen before is a duplicate. While a secret is rotated give both.
 *
 * @param payload The request's body as it came, byte by byte: no parsed JSON.
 * @param secrets The secret that the webhook was made with (`whsec_...`), or several, each of which is good.
 * @throws WebhookVerificationError: answer 400.
 */
export async function verify(
  payload: string | Uint8Array | ArrayBuffer,
  headers: WebhookHeaders,
  secrets: string | readonly string[],
  options: VerifyOptions = {},
): Promise<WebhookPayload> {
  const body = bytesOf(payload);
  const keys = typeof secrets === "string" ? [secrets] : [...secrets];
  if (keys.length === 0 || keys.some((key) => !key)) {
    throw new TypeError("no secret was given, or an empty one");
  }
  const signature = header(headers, "webhook-signature");
  const good = signature !== undefined
    ? await standard(body, headers, signature, keys, options)
    : await contract(body, header(headers, "x-signature-256"), keys);
  if (!good) {
    throw new WebhookVerificationError("no signature is of this body by these secrets: is it the raw body, and the right secret?");
  }
  return parsed(body);
}

/** Standard Webhooks: HMAC of `id.timestamp.body`. */
async function standard(
  body: Uint8Array<ArrayBuffer>,
  headers: WebhookHeaders,
  signature: string,
  secrets: readonly string[],
  { toleranceSeconds = 300, now = Date.now() / 1000 }: VerifyOptions,
): Promise<boolean> {
  const id = header(headers, "webhook-id");
  const timestamp = header(headers, "webhook-timestamp");
  if (!id || !timestamp) {
    throw new WebhookVerificationError("the header webhook-id or webhook-timestamp is missing");
  }
  timely(timestamp, now, toleranceSeconds);
  const signed = joined(encoder.encode(`${id}.${timestamp}.`), body);
  const macs = signature.split(" ").flatMap((one) => (one.startsWith("v1,") ? [base64(one.slice(3))] : []));
  const keys = secrets.map((secret) => base64(secret.replace(/^whsec_/, "")));
  return anyOf(keys, macs, signed);
}

function timely(timestamp: string, now: number, tolerance: number): void {
  if (!/^\d{1,12}$/.test(timestamp)) {
    throw new WebhookVerificationError("webhook-timestamp is no number of seconds");
  }
  const age = Math.round(now - Number(timestamp));
  if (Math.abs(age) > tolerance) {
    const which = age > 0 ? "older" : "younger";
    throw new WebhookVerificationError(
      `the request is ${Math.abs(age)} s ${which} than this machine's clock, more than ${tolerance} s: is the clock right?`,
    );
  }
}

/** The contract's header: HMAC of the body; the key is the whole secret as text. */
async function contract(
  body: Uint8Array<ArrayBuffer>,
  signature: string | undefined,
  secrets: readonly string[],
): Promise<boolean> {
  if (signature === undefined) {
    throw new WebhookVerificationError("there is neither a header webhook-signature nor X-Signature-256");
  }
  const hex = /^sha256=([0-9a-f]{64})$/i.exec(signature.trim())?.[1];
  const mac = Uint8Array.from(hex?.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
  return anyOf(secrets.map((secret) => encoder.encode(secret)), [mac], body);
}

/** Whether one of the MACs is one of the keys'. Web Crypto compares in constant time. */
async function anyOf(
  keys: readonly (Uint8Array<ArrayBuffer> | undefined)[],
  macs: readonly (Uint8Array<ArrayBuffer> | undefined)[],
  signed: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  let found = false;
  for (const raw of keys.filter((one) => one?.length)) {
    const key = await crypto.subtle.importKey("raw", raw as Uint8Array<ArrayBuffer>, algorithm, false, ["verify"]);
    for (const mac of macs.filter((one) => one?.length)) {
      found = (await crypto.subtle.verify("HMAC", key, mac as Uint8Array<ArrayBuffer>, signed)) || found;
    }
  }
  return found;
}

function parsed(body: Uint8Array): WebhookPayload {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)) as WebhookPayload;
  } catch (cause) {
    throw new WebhookVerificationError("the signature is right, but the body is no JSON", { cause });
  }
}

function header(headers: WebhookHeaders, name: string): string | undefined {
  if (isGetter(headers)) {
    return headers.get(name) ?? undefined;
  }
  const found = Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return typeof found === "string" ? found : found?.join(" ");
}

function isGetter(headers: WebhookHeaders): headers is { get(name: string): string | null | undefined } {
  return typeof headers.get === "function";
}

function bytesOf(payload: string | Uint8Array | ArrayBuffer): Uint8Array<ArrayBuffer> {
  if (typeof payload === "string") {
    return encoder.encode(payload);
  }
  if (payload instanceof Uint8Array || payload instanceof ArrayBuffer) {
    return new Uint8Array(payload); // a copy: nobody changes it meanwhile
  }
  throw new TypeError("payload is the raw body, as text or bytes: a framework that has parsed it must give it unparsed");
}

function joined(head: Uint8Array, tail: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(head.length + tail.length);
  whole.set(head);
  whole.set(tail, head.length);
  return whole;
}

function base64(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  } catch {
    return undefined;
  }
}
