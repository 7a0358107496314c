// What is tried again, and when: pure decisions. Durations are in milliseconds.
import { APIConnectionError, APIError } from "./errors.js";

/** `Retry-After` above this is not obeyed: the error says when to come again. */
export const LONGEST_WAIT = 60_000;
/** However many retries are allowed, one call ends about here. */
export const LONGEST_CALL = 600_000;

const FIRST = 500;
const LONGEST_BACKOFF = 8_000;
const AGAIN = new Set([408, 429, 500, 502, 503, 504]);
const TURNED_AWAY = new Set([429, 503]);
const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);
// What node calls faults of certificates: another try meets the same one.
const TLS = /CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS|ERR_SSL|EPROTO/;

/** Whether another try can help. */
export function isTransient(error: unknown): boolean {
  if (error instanceof APIError) {
    return AGAIN.has(error.status) || (error.status === 409 && error.code === "IDEMPOTENCY_IN_PROGRESS");
  }
  return error instanceof APIConnectionError && !TLS.test(causeCode(error) ?? "");
}

/** Whether the server has certainly done nothing: it turned the request away, or never got it. */
export function hasDoneNothing(error: unknown): boolean {
  return error instanceof APIError ? TURNED_AWAY.has(error.status) : UNSENT.has(causeCode(error) ?? "");
}

/** How long to wait before the next try; undefined if the server says longer than we do. */
export function delay(error: unknown, attempt: number): number | undefined {
  if (error instanceof APIError && error.retryAfter !== null) {
    const asked = error.retryAfter * 1000;
    return asked <= LONGEST_WAIT ? asked : undefined;
  }
  return Math.min(FIRST * 2 ** attempt, LONGEST_BACKOFF) * (1 - 0.25 * Math.random());
}

/** `Retry-After` in seconds: a number, or a date, which is compared with the answer's own `Date` (clocks differ). */
export function retryAfter(headers: Headers): number | null {
  const text = headers.get("Retry-After")?.trim();
  if (!text) {
    return null;
  }
  if (/^\d+(\.\d+)?$/.test(text)) {
    return Number(text);
  }
  const then = /\d\d:\d\d:\d\d/.test(text) ? Date.parse(text) : Number.NaN; // Date.parse takes "-5" for a date
  const now = Date.parse(headers.get("Date") ?? "");
  return Number.isNaN(then) ? null : Math.max(0, (then - (Number.isNaN(now) ? Date.now() : now)) / 1000);
}

/** The code of what lies below a failed fetch: `ECONNREFUSED`, `ENOTFOUND`. */
export function causeCode(error: unknown): string | undefined {
  for (let one = error, depth = 0; one && depth < 5; depth++) {
    const { code, errors, cause } = one as { code?: unknown; errors?: unknown[]; cause?: unknown };
    if (typeof code === "string") {
      return code;
    }
    one = cause ?? errors?.[0];
  }
  return undefined;
}
