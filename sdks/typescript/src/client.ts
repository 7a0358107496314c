import { type Credentials, Fixed, FromFunction, type Grant, OAuth } from "./auth.js";
import { Calls } from "./calls.js";
import { environmentVariable, isBrowser } from "./environment.js";
import { ApiResources } from "./generated/resources.js";
import { type LogLevel, type Logger, limited } from "./logging.js";
import { type Fetch, Transport } from "./transport.js";
import { addresses } from "./urls.js";
import { VERSION } from "./version.js";

/**
 * What a client is made with. Who it is: an `apiKey`; or a `token`; or a `clientId` with its `clientSecret` or a
 * `refreshToken`. If none is given, the environment variable `AI_AGENTS_API_KEY` is.
 */
export interface ClientOptions {
  /** Where the API is, with or without `/v1`; else the environment variable `AI_AGENTS_BASE_URL`. */
  readonly baseUrl?: string | undefined;
  readonly apiKey?: string | undefined;
  /** An access token, or a function that is asked for it before each request. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** Of a service account or an application: tokens are fetched, and renewed in time. */
  readonly clientId?: string | undefined;
  readonly clientSecret?: string | undefined;
  /** Less than what the client may do: `"projects:read deployments:write"`. */
  readonly scope?: string | undefined;
  /** Of a user's login. Each use gives a new one and ends the old one: keep it by `onRefreshToken`. */
  readonly refreshToken?: string | undefined;
  readonly onRefreshToken?: ((refreshToken: string) => void | Promise<void>) | undefined;
  /** Milliseconds for each try: 60,000. */
  readonly timeout?: number | undefined;
  /** How often a request is tried again: 2. */
  readonly maxRetries?: number | undefined;
  readonly defaultHeaders?: Readonly<Record<string, string>> | undefined;
  /** Instead of `globalThis.fetch`: for a proxy, a pool, other certificates. */
  readonly fetch?: Fetch | undefined;
  /** Instead of `console`. */
  readonly logger?: Logger | undefined;
  /** `"warn"`; else the environment variable `AI_AGENTS_LOG`. */
  readonly logLevel?: LogLevel | undefined;
}

const TIMEOUT_MS = 60_000;
const RETRIES = 2;

/**
 * A client of the API: one is enough for a process.
 *
 * @example
 * const client = new Client({ apiKey: "sk-...", baseUrl: "https://api.example.com/v1" });
 * for await (const project of client.projects.list({ org_id: "..." })) {
 *   console.log(project.name);
 * }
 */
export class Client extends ApiResources {
  /** Where requests go, with `/v1`. */
  readonly baseUrl: string;

  /** @throws TypeError if the options cannot be: no address, no credentials, two of them. */
  constructor(options: ClientOptions = {}) {
    const given = options.baseUrl ?? environmentVariable("AI_AGENTS_BASE_URL");
    if (!given) {
      throw new TypeError("no address of the API: give baseUrl, or set AI_AGENTS_BASE_URL");
    }
    const { api, root } = addresses(given);
    super(new Calls(transport(options, api, root)));
    this.baseUrl = api;
    // Node's console; not as a method, whose computed name would keep bundlers from leaving the class out
    Object.defineProperty(this, Symbol.for("nodejs.util.inspect.custom"), { value: () => this.toString() });
  }

  /** Nothing of a client is secret where it is printed. */
  override toString(): string {
    return `Client(${this.baseUrl})`;
  }

  toJSON(): { baseUrl: string } {
    return { baseUrl: this.baseUrl };
  }
}

function transport(options: ClientOptions, api: string, root: string): Transport {
  const level = options.logLevel ?? (environmentVariable("AI_AGENTS_LOG") as LogLevel | undefined) ?? "warn";
  const settings = {
    api,
    timeout: options.timeout ?? TIMEOUT_MS,
    maxRetries: options.maxRetries ?? RETRIES,
    headers: { ...(!isBrowser() && { "User-Agent": `ai-agents-sdk-typescript/${VERSION}` }), ...options.defaultHeaders },
    fetch: options.fetch ?? ((url: string, init: RequestInit) => globalThis.fetch(url, init)),
    log: limited(options.logger ?? console, level),
  };
  const tokens = new Transport({ ...settings, credentials: undefined });
  const credentials = credentialsOf(options, (grant) =>
    new OAuth(grant, (form, again) => tokens.form(`${root}/oauth/token`, form, again)),
  );
  return new Transport({ ...settings, credentials });
}

function credentialsOf(options: ClientOptions, oauth: (grant: Grant) => Credentials): Credentials {
  const { apiKey, token, clientId, clientSecret, refreshToken } = options;
  const ways = [apiKey, token, clientId].filter((one) => one !== undefined).length;
  if (ways > 1) {
    throw new TypeError("give one of apiKey, token and clientId, not several");
  }
  if (token !== undefined) {
    return typeof token === "string" ? new Fixed("Authorization", token) : new FromFunction(token);
  }
  if (clientId !== undefined) {
    if (clientSecret === undefined && refreshToken === undefined) {
      throw new TypeError("clientId needs clientSecret or refreshToken");
    }
    return oauth({ ...options, clientId });
  }
  if (clientSecret !== undefined || refreshToken !== undefined) {
    throw new TypeError("clientSecret and refreshToken need clientId");
  }
  const key = apiKey ?? environmentVariable("AI_AGENTS_API_KEY");
  if (!key) {
    throw new TypeError("no credentials: give apiKey, token or clientId, or set AI_AGENTS_API_KEY");
  }
  return new Fixed("X-API-Key", key);
}
