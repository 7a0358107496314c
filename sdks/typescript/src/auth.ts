// Who the client is: a key, a token, or tokens of the OAuth server beside the API, which are renewed in time.
import { type APIFailure, AuthenticationError, InvalidResponseError, classOfStatus } from "./errors.js";
import { type Whole, apiError, notOurs } from "./answers.js";
import { unlessAborted } from "./waiting.js";

/** What a request is sent with. */
export type Credential = readonly [header: "X-API-Key" | "Authorization", value: string];

/** Where credentials come from. What they are made of is in private fields: nothing prints it. */
export interface Credentials {
  /** @throws AuthenticationError if there is none. */
  get(signal?: AbortSignal): Promise<Credential>;
  /** Another one than this, which the server refused; undefined if there is none. */
  another(refused: Credential, signal?: AbortSignal): Promise<Credential | undefined>;
}

/** A key or a token that stays as it is. */
export class Fixed implements Credentials {
  readonly #credential: Credential;

  constructor(header: Credential[0], value: string) {
    this.#credential = header === "Authorization" ? bearer(value) : [header, sendable(header, value)];
  }

  get(): Promise<Credential> {
    return Promise.resolve(this.#credential);
  }

  another(): Promise<undefined> {
    return Promise.resolve(undefined);
  }
}

/** One at a time: who asks meanwhile gets the same answer. */
class Flight<T> {
  #under: Promise<T> | undefined;

  join(start: () => Promise<T>): Promise<T> {
    this.#under ??= start().finally(() => {
      this.#under = undefined;
    });
    return this.#under;
  }
}

/** A function that is asked for the token before each request; it may keep it. */
export class FromFunction implements Credentials {
  readonly #token: () => string | Promise<string>;
  readonly #flight = new Flight<string>();

  constructor(token: () => string | Promise<string>) {
    this.#token = token;
  }

  async get(signal?: AbortSignal): Promise<Credential> {
    const token = await unlessAborted(
      this.#flight.join(async () => this.#token()),
      signal,
    );
    return bearer(token);
  }

  async another(refused: Credential, signal?: AbortSignal): Promise<Credential | undefined> {
    const next = await this.get(signal);
    return next[1] === refused[1] ? undefined : next;
  }
}

/** What a grant of the OAuth server is asked for with. */
export interface Grant {
  readonly clientId: string;
  readonly clientSecret?: string | undefined;
  readonly scope?: string | undefined;
  /** Instead of the client's own credentials: a login of a user. Each use gives a new one. */
  readonly refreshToken?: string | undefined;
  /** Keep the new refresh token: the old one is of no use any more. Awaited before the access token is used. */
  readonly onRefreshToken?: ((refreshToken: string) => void | Promise<void>) | undefined;
}

/** Sends a form to the token endpoint. `again`: whether it may be sent twice. */
export type Ask = (form: Record<string, string>, again: boolean) => Promise<Whole>;

interface Token {
  readonly value: string;
  /** Times of `performance.now()`: the machine's clock may be wrong, or be set. */
  readonly renewAt: number;
  readonly endsAt: number;
}

const EARLY_MS = 60_000;
const UNKNOWN_LIFE_S = 300;

/** Client credentials or a refresh token: renewed a minute before the end, at most a tenth of the token's life. */
export class OAuth implements Credentials {
  readonly #grant: Grant;
  readonly #ask: Ask;
  readonly #flight = new Flight<Token>();
  #refreshToken: string | undefined;
  #token: Token | undefined;

  constructor(grant: Grant, ask: Ask) {
    this.#grant = grant;
    this.#ask = ask;
    this.#refreshToken = grant.refreshToken;
  }

  async get(signal?: AbortSignal): Promise<Credential> {
    if (this.#token && performance.now() < this.#token.renewAt) {
      return bearer(this.#token.value);
    }
    const renewal = this.#flight.join(() => this.#renew());
    return bearer((await unlessAborted(renewal, signal)).value);
  }

  another([, value]: Credential, signal?: AbortSignal): Promise<Credential> {
    if (this.#token && value === `Bearer ${this.#token.value}`) {
      this.#token = undefined; // else somebody has renewed it already
    }
    return this.get(signal);
  }

  async #renew(): Promise<Token> {
    try {
      this.#token = await this.#fetch();
    } catch (error) {
      if (!this.#token || performance.now() >= this.#token.endsAt) {
        throw error; // else what there is still holds
      }
    }
    return this.#token;
  }

  async #fetch(): Promise<Token> {
    const asked = performance.now();
    const answer = await this.#ask(this.#form(), this.#refreshToken === undefined);
    const found = tokenOf(answer);
    if (found.refresh_token && found.refresh_token !== this.#refreshToken) {
      this.#refreshToken = found.refresh_token;
      await this.#grant.onRefreshToken?.(found.refresh_token);
    }
    const life = (found.expires_in ?? UNKNOWN_LIFE_S) * 1000;
    return { value: found.access_token, renewAt: asked + life - Math.min(EARLY_MS, life / 10), endsAt: asked + life };
  }

  #form(): Record<string, string> {
    const { clientId, clientSecret, scope } = this.#grant;
    return {
      ...(this.#refreshToken === undefined
        ? { grant_type: "client_credentials" }
        : { grant_type: "refresh_token", refresh_token: this.#refreshToken }),
      client_id: clientId,
      ...(clientSecret !== undefined && { client_secret: clientSecret }),
      ...(scope !== undefined && { scope }),
    };
  }
}

interface TokenAnswer {
  readonly access_token: string;
  readonly expires_in?: number;
  readonly refresh_token?: string;
}

/** What the token endpoint answered; its words are RFC 6749's. */
function tokenOf(answer: Whole): TokenAnswer {
  let found: Partial<TokenAnswer & { error: string; error_description: string }> | null;
  try {
    found = JSON.parse(answer.body);
  } catch (error) {
    throw answer.status < 300 ? withoutBody(answer) : apiError(answer);
  }
  if (answer.status >= 200 && answer.status < 300 && typeof found?.access_token === "string") {
    return { ...found, access_token: sendable("Authorization", found.access_token) };
  }
  throw typeof found?.error === "string" ? refusal(answer, found.error, found.error_description) : withoutBody(answer);
}

function refusal(answer: Whole, code: string, description: string | undefined): Error {
  const said = apiError({ ...answer, body: "" });
  const failure: APIFailure = {
    status: answer.status,
    code,
    message: `No token: ${description || code}. Are the client's id, secret and scope right?`,
    details: [],
    requestId: said.requestId,
    retryAfter: said.retryAfter,
  };
  const known = answer.status === 400 || answer.status === 401;
  return new (known ? AuthenticationError : classOfStatus(answer.status))(failure);
}

/** An answer that is no OAuth server's: what it says may be a token, so it is not shown. */
function withoutBody(answer: Whole): InvalidResponseError {
  return notOurs({ ...answer, body: "" });
}

function bearer(token: string): Credential {
  return ["Authorization", `Bearer ${sendable("Authorization", token)}`];
}

function sendable(header: string, value: string): string {
  const trimmed = typeof value === "string" ? value.trim() : "";
  if (!/^[\x21-\x7e]+$/.test(trimmed)) {
    const what = header === "X-API-Key" ? "apiKey" : "token";
    throw new TypeError(`${what} is ${trimmed ? "no header's text: it has spaces, line breaks or other signs" : "empty"}`);
  }
  return trimmed;
}
