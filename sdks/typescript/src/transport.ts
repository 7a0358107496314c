import { type Whole, apiError } from "./answers.js";
import type { Credential, Credentials } from "./auth.js";
import { AIAgentsError, type APIError, APIConnectionError, APITimeoutError } from "./errors.js";
import type { Logger } from "./logging.js";
import { LONGEST_CALL, causeCode, delay, hasDoneNothing, isTransient } from "./retries.js";
import { type Arguments, path, query } from "./urls.js";
import { Limit, sleep } from "./waiting.js";

/** What one call may say for itself. */
export interface CallOptions {
  /** Milliseconds for each try. */
  readonly timeout?: number | undefined;
  readonly maxRetries?: number | undefined;
  readonly extraHeaders?: Readonly<Record<string, string>> | undefined;
  /** Instead of one that is made: for a POST or PATCH that is to happen once, whatever becomes of this process. */
  readonly idempotencyKey?: string | undefined;
  /** Ends the call, and all waiting in it. */
  readonly signal?: AbortSignal | undefined;
}

/** An operation of the API, as the document describes it. */
export interface Route {
  /** Its name here: `projects.get`. */
  readonly id: string;
  readonly verb: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: readonly string[];
  /** Arguments that are headers: `if_match`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether all other arguments are its body. */
  readonly body?: boolean;
  /** Media types, if not the API's. */
  readonly accept?: string;
  /** Its answer has no envelope. */
  readonly bare?: boolean;
}

/** Sends requests: `globalThis.fetch`, or one of your own, for a proxy or a pool. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Settings {
  readonly api: string;
  readonly credentials: Credentials | undefined;
  readonly timeout: number;
  readonly maxRetries: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  readonly log: Logger;
}

/** One logical call: what is the same in all its tries. */
interface Call {
  readonly id: string;
  readonly verb: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: string | undefined;
  readonly signed: boolean;
  readonly timeout: number;
  readonly retries: number;
  /** Whether it must not reach the server twice: it is only sent again if the server has certainly done nothing. */
  readonly once?: boolean;
  readonly signal: AbortSignal | undefined;
}

/** An answer whose body comes by and by. Whoever has it must `close` it. */
export interface Streamed {
  readonly status: number;
  readonly headers: Headers;
  /** Its text in pieces; ends with an APIConnectionError if it breaks off, or nothing comes for `timeout`. */
  pieces(): AsyncGenerator<string, void, undefined>;
  close(): void;
}

const JSON_TYPE = "application/json";
// Deprecations that this process has told of.
const told = /* @__PURE__ */ new Set<string>();

/** Sends the calls of a client: credentials, tries and their limits. */
export class Transport {
  readonly #settings: Settings;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** A whole answer of a success. Raises what `errors.ts` says. */
  whole(route: Route, given: Arguments, options: CallOptions = {}): Promise<Whole> {
    return this.#tries(this.#call(route, given, options), readWhole);
  }

  /** An answer that may be endless. */
  async stream(route: Route, given: Arguments, options: CallOptions = {}): Promise<Streamed> {
    return this.#tries(this.#call(route, given, options), async (response, limit) => streamed(response, limit));
  }

  /** A form of the OAuth server: without credentials, and its errors are answers. */
  form(url: string, form: Record<string, string>, again: boolean): Promise<Whole> {
    const headers = new Headers({ Accept: JSON_TYPE, "Content-Type": "application/x-www-form-urlencoded" });
    const { timeout, maxRetries: retries } = this.#settings;
    const body = new URLSearchParams(form).toString();
    const sent = { url, headers, body, signed: false, timeout, retries, once: !again, signal: undefined };
    const call = { id: "oauth.token", verb: "POST", ...sent };
    return this.#tries(call, readWhole, (answer) => answer.status < 500 && answer.status !== 429 && answer.status !== 408);
  }

  get log(): Logger {
    return this.#settings.log;
  }

  #call(route: Route, given: Arguments, options: CallOptions): Call {
    const { api, timeout, maxRetries } = this.#settings;
    const body = route.body ? JSON.stringify(bodyOf(route, given)) : undefined;
    return {
      id: route.id,
      verb: route.verb,
      url: api + path(route.path, given) + query(queryOf(route, given), given),
      headers: this.#headers(route, given, options, body !== undefined),
      body,
      signed: true,
      timeout: options.timeout ?? timeout,
      retries: count(options.maxRetries ?? maxRetries),
      signal: options.signal,
    };
  }

  #headers(route: Route, given: Arguments, options: CallOptions, body: boolean): Headers {
    const headers = new Headers({ Accept: route.accept ?? JSON_TYPE });
    for (const [name, value] of Object.entries(this.#settings.headers)) {
      headers.set(name, value);
    }
    if (body) {
      headers.set("Content-Type", JSON_TYPE);
    }
    for (const [name, header] of Object.entries(route.headers ?? {})) {
      const value = given[name];
      if (value !== undefined && value !== null) {
        headers.set(header, String(value));
      }
    }
    if (route.verb === "POST" || route.verb === "PATCH") {
      headers.set("Idempotency-Key", options.idempotencyKey ?? uuid4());
    }
    for (const [name, value] of Object.entries(options.extraHeaders ?? {})) {
      headers.set(name, value);
    }
    return headers;
  }

  async #tries<T>(
    call: Call,
    read: (response: Response, limit: Limit) => Promise<T>,
    accepted?: (answer: Whole) => boolean,
  ): Promise<T> {
    const end = performance.now() + LONGEST_CALL;
    let credential = await this.#credential(call);
    for (let attempt = 0, renewed = false; ; ) {
      try {
        return await this.#once(call, credential, read, accepted);
      } catch (error) {
        const other = renewed ? undefined : await this.#renewed(call, error, credential);
        if (other) {
          renewed = true;
          credential = other;
          continue;
        }
        const wait = this.#wait(call, error, attempt, end - performance.now());
        const next = wait === undefined ? "not tried again" : `tried again in ${Math.round(wait)} ms`;
        this.log.debug(`${call.id}: try ${attempt + 1} of ${call.retries + 1}: ${reason(error)}, ${next}`);
        if (wait === undefined) {
          throw error;
        }
        await sleep(wait, call.signal);
        credential = (await this.#credential(call)) ?? credential;
        attempt++;
      }
    }
  }

  #credential(call: Call): Promise<Credential | undefined> {
    const { credentials } = this.#settings;
    return call.signed && credentials ? credentials.get(call.signal) : Promise.resolve(undefined);
  }

  /** Another credential after a 401, if there is one. */
  async #renewed(call: Call, error: unknown, credential: Credential | undefined): Promise<Credential | undefined> {
    const unauthorized = credential && (error as Partial<APIError>).status === 401;
    return unauthorized ? this.#settings.credentials?.another(credential, call.signal) : undefined;
  }

  #wait(call: Call, error: unknown, attempt: number, left: number): number | undefined {
    if (attempt >= call.retries || !isTransient(error) || (call.once && !hasDoneNothing(error))) {
      return undefined;
    }
    const wait = delay(error, attempt);
    return wait !== undefined && wait < left ? wait : undefined;
  }

  async #once<T>(
    call: Call,
    credential: Credential | undefined,
    read: (response: Response, limit: Limit) => Promise<T>,
    accepted?: (answer: Whole) => boolean,
  ): Promise<T> {
    const limit = new Limit(call.timeout, call.signal);
    const begun = performance.now();
    let kept = false;
    try {
      const response = await this.#settings.fetch(call.url, init(call, credential, limit));
      this.#tell(call, response, begun);
      if (response.ok) {
        const answer = await read(response, limit);
        kept = isStreamed(answer);
        limit.pause();
        return answer;
      }
      const answer = await readWhole(response);
      if (accepted?.(answer)) {
        return answer as T;
      }
      throw apiError(answer);
    } catch (error) {
      throw failure(error, limit, call);
    } finally {
      if (!kept) {
        limit.clear();
      }
    }
  }

  #tell(call: Call, response: Response, begun: number): void {
    const id = response.headers.get("X-Request-ID") ?? "none";
    const took = Math.round(performance.now() - begun);
    this.log.debug(`${call.id}: ${call.verb} ${call.url.split("?")[0]} -> ${response.status} in ${took} ms, request ${id}`);
    const text = deprecation(call.id, response.headers);
    if (text && !told.has(call.id)) {
      told.add(call.id);
      this.log.warn(text);
    }
  }
}

async function readWhole(response: Response): Promise<Whole> {
  return { status: response.status, headers: response.headers, body: await response.text() };
}

function init(call: Call, credential: Credential | undefined, limit: Limit): RequestInit {
  const headers = new Headers(call.headers);
  if (credential && !headers.has(credential[0])) {
    headers.set(...credential);
  }
  // The API has no redirects; followed, one would take the key to wherever it leads.
  return {
    method: call.verb,
    headers,
    redirect: "manual",
    signal: limit.signal,
    ...(call.body !== undefined && { body: call.body }),
  };
}

function streamed(response: Response, limit: Limit): Streamed {
  return {
    status: response.status,
    headers: response.headers,
    pieces: () => pieces(response, limit),
    close() {
      limit.clear();
      response.body?.cancel().catch(() => undefined); // it may have broken already
    },
  };
}

function isStreamed(answer: unknown): boolean {
  return typeof (answer as Partial<Streamed>).close === "function";
}

async function* pieces(response: Response, limit: Limit): AsyncGenerator<string, void, undefined> {
  if (!response.body) {
    return;
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      limit.restart();
      const { done, value } = await reader.read();
      limit.pause(); // the reader of these may take its time
      const piece = decoder.decode(value, { stream: !done });
      if (piece) {
        yield piece;
      }
      if (done) {
        return;
      }
    }
  } catch (error) {
    throw failure(error, limit, { id: "stream", url: response.url, signal: undefined });
  } finally {
    limit.clear();
    reader.cancel().catch(() => undefined);
  }
}

/** What a failed try is: the caller's abort, a limit, a broken connection; other errors as they are. */
function failure(error: unknown, limit: Limit, call: Pick<Call, "id" | "url" | "signal">): unknown {
  if (call.signal?.aborted) {
    return call.signal.reason;
  }
  if (limit.exceeded) {
    return new APITimeoutError(`${call.id}: no whole answer in time from ${origin(call.url)}: is it busy, or timeout too short?`);
  }
  const broken = error instanceof TypeError || (error as Partial<Error>)?.name === "AbortError" || causeCode(error);
  if (error instanceof AIAgentsError || !broken) {
    return error;
  }
  const code = causeCode(error);
  const message = `${call.id}: no answer from ${origin(call.url)} (${code ?? innermost(error)})${advice(code)}`;
  return new APIConnectionError(message, { cause: error });
}

function innermost(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? innermost(cause) : message;
}

function advice(code: string | undefined): string {
  if (!code) {
    return "";
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    return ": its certificate is not trusted here; NODE_EXTRA_CA_CERTS names one that is";
  }
  return { ECONNREFUSED: ": nothing listens there", ENOTFOUND: ": there is no such host; is baseUrl right?" }[code] ?? "";
}

function reason(error: unknown): string {
  return error instanceof Error ? `${error.name} ${(error as Partial<APIError>).status ?? ""}`.trim() : "failed";
}

function origin(url: string): string {
  return url ? new URL(url).origin : "the server";
}

function deprecation(id: string, headers: Headers): string | undefined {
  const since = headers.get("Deprecation");
  const sunset = headers.get("Sunset");
  if (!since && !sunset) {
    return undefined;
  }
  const successor = /<([^>]+)>;[^,]*rel="?successor-version/.exec(headers.get("Link") ?? "")?.[1];
  const began = since?.startsWith("@") ? ` since ${new Date(Number(since.slice(1)) * 1000).toISOString().slice(0, 10)}` : "";
  return `${id} is deprecated${began}${sunset ? `, and ends on ${sunset}` : ""}${successor ? `: use ${successor}` : ""}`;
}

function names(route: Route): Set<string> {
  const inPath = [...route.path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name ?? "");
  return new Set([...inPath, ...(route.query ?? []), ...Object.keys(route.headers ?? {})]);
}

function bodyOf(route: Route, given: Arguments): Arguments {
  const elsewhere = names(route);
  return Object.fromEntries(Object.entries(given).filter(([name]) => !elsewhere.has(name)));
}

/** What has no place is sent as a query, so that the server refuses it: a wrong name is told, and a new one works. */
function queryOf(route: Route, given: Arguments): readonly string[] {
  const known = names(route);
  const others = route.body ? [] : Object.keys(given).filter((name) => !known.has(name));
  return [...(route.query ?? []), ...others];
}

function count(retries: number): number {
  if (!Number.isInteger(retries) || retries < 0) {
    throw new TypeError("maxRetries is a whole number, 0 or more");
  }
  return retries;
}

/** crypto.randomUUID is not there on pages without TLS. */
function uuid4(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
