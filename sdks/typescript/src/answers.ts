// What answers say: the data of an envelope, or the error that it tells of.
import { APIError, type APIFailure, InvalidResponseError, classOfStatus } from "./errors.js";
import { classOfCode } from "./generated/errors.js";
import type { Fault } from "./generated/models.js";
import { LONGEST_WAIT, retryAfter } from "./retries.js";

/** A whole answer. */
export interface Whole {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

type Json = Record<string, unknown>;

const SHOWN = 200;

/**
 * The JSON of a success.
 *
 * @throws InvalidResponseError if it is none.
 */
export function json(answer: Whole): unknown {
  try {
    return JSON.parse(answer.body);
  } catch (error) {
    throw notOurs(answer, error);
  }
}

/**
 * `data` of an envelope; an answer of a health probe, which has none, as it is.
 *
 * @throws InvalidResponseError if it is neither.
 */
export function data(answer: Whole, bare: boolean): unknown {
  const whole = json(answer);
  if (isObject(whole) && (bare || "data" in whole)) {
    return bare ? whole : whole["data"];
  }
  throw notOurs(answer);
}

/** A success that is none of the API. */
export function notOurs(answer: Whole, cause?: unknown): InvalidResponseError {
  const message = `The answer is not the API's: ${shown(answer)}. Is baseUrl right, and is there a proxy between?`;
  return new InvalidResponseError(message, answer.status, { cause });
}

/** The error of an answer: its code's class, or that of its status. */
export function apiError(answer: Whole): APIError {
  const failure = failureOf(answer);
  return new (classOfCode(failure.code, failure.status) ?? classOfStatus(failure.status))(failure);
}

function failureOf(answer: Whole): APIFailure {
  const { status, headers } = answer;
  const whole = parsed(answer.body);
  const wait = retryAfter(headers);
  const error = envelopeOf(whole);
  const known = status === 304 ? "Not modified: if_none_match names the present state" : null;
  const message = known ?? (error && (text(error["message"]) ?? text(error["detail"]) ?? text(error["title"])));
  const meta = isObject(whole?.["meta"]) ? whole["meta"] : whole;
  return {
    status,
    code: text(error?.["code"]),
    message: (message || `The answer is not the API's: ${shown(answer)}`) + later(wait),
    details: Array.isArray(error?.["details"]) ? (error["details"] as Fault[]) : [],
    requestId: headers.get("X-Request-ID") ?? text(meta?.["request_id"]),
    retryAfter: wait,
  };
}

/** The part that has the code: `error`, or all of it (RFC 9457); nothing if it is somebody else's JSON. */
function envelopeOf(whole: Json | undefined): Json | undefined {
  const found = isObject(whole?.["error"]) ? whole["error"] : whole;
  return typeof found?.["code"] === "string" ? found : undefined;
}

function later(seconds: number | null): string {
  const tooLong = seconds !== null && seconds * 1000 > LONGEST_WAIT;
  return tooLong ? ` (the server asks to try again in ${Math.ceil(seconds)} s, which is not waited for)` : "";
}

function shown({ status, headers, body }: Whole): string {
  const type = headers.get("Content-Type") ?? "no content type";
  const location = headers.get("Location");
  const where = location && status < 400 ? `, which leads to ${location.slice(0, SHOWN)}` : "";
  return `status ${status}, ${type}${where}, ${body ? JSON.stringify(body.slice(0, SHOWN)) : "no body"}`;
}

function parsed(body: string): Json | undefined {
  try {
    const whole: unknown = JSON.parse(body);
    return isObject(whole) ? whole : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
