// Logs and exports: what is read line by line.
import { apiError, data, notOurs } from "./answers.js";
import { dataOf, events } from "./events.js";
import type { RawResponse } from "./promise.js";
import { LineCutter, type ServerSentEvent } from "./sse.js";
import type { CallOptions, Route, Transport } from "./transport.js";
import type { Arguments } from "./urls.js";

const TEXT = "text/plain";
const JSON_TYPE = "application/json";

/** Newline-delimited JSON. An answer that breaks off is an APIConnectionError: continue with `since`. */
export async function* jsonLines<T>(
  transport: Transport,
  route: Route,
  given: Arguments,
  options: CallOptions = {},
): AsyncGenerator<T, void, undefined> {
  const answer = await transport.stream(route, given, options);
  try {
    const cutter = new LineCutter();
    for await (const piece of answer.pieces()) {
      for (const line of cutter.feed(piece)) {
        if (line) {
          yield entry<T>(line);
        }
      }
    }
    const rest = cutter.rest();
    if (rest) {
      yield entry<T>(rest);
    }
  } finally {
    answer.close();
  }
}

/** Its last line may say why it ends: `{"error": {"code": ..., "message": ...}}`. */
function entry<T>(line: string): T {
  let value: T & { error?: unknown };
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw notOurs({ status: 200, headers: new Headers(), body: line }, error);
  }
  if (value !== null && typeof value === "object" && typeof value.error === "object" && Object.keys(value).length === 1) {
    throw apiError({ status: 403, headers: new Headers(), body: line });
  }
  return value;
}

/** A line of a build's or an operation's log. */
export interface StepLine {
  /** `source`, `build`, `test`, `release`; null if the lines of several steps are read without following. */
  readonly step: string | null;
  readonly text: string;
}

/**
 * A log. Iterate over it for its lines (`follow: true`: until it is complete, across broken streams; else those there
 * are), or await it for what the API says of it as JSON. Nothing is sent before.
 */
export class Log<M, L> implements PromiseLike<M>, AsyncIterable<L> {
  readonly #transport: Transport;
  readonly #route: Route;
  readonly #given: Arguments;
  readonly #options: CallOptions;
  #raw: Promise<RawResponse<M>> | undefined;

  constructor(transport: Transport, route: Route, given: Arguments, options: CallOptions = {}) {
    this.#transport = transport;
    this.#route = route;
    this.#given = given;
    this.#options = options;
  }

  withRawResponse(): Promise<RawResponse<M>> {
    this.#raw ??= this.#read();
    return this.#raw;
  }

  then<A = M, B = never>(
    onfulfilled?: ((value: M) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.withRawResponse()
      .then((raw) => raw.parsed)
      .then(onfulfilled, onrejected);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<L, void, undefined> {
    if (this.#given["follow"] === true) {
      yield* this.#followed();
    } else if (this.#route.accept?.includes(TEXT)) {
      yield* textLines(this.#transport, this.#route, this.#given, this.#options) as AsyncGenerator<L>;
    } else {
      yield* ((await this) as { lines?: L[] }).lines ?? [];
    }
  }

  async *#followed(): AsyncGenerator<L, void, undefined> {
    const over = (one: ServerSentEvent) => one.event === "end";
    for await (const event of events(this.#transport, this.#route, this.#given, over, this.#options)) {
      if (event.event === "log") {
        yield* (dataOf(event) as { lines?: L[] }).lines ?? [];
      }
    }
  }

  async #read(): Promise<RawResponse<M>> {
    const { follow: _, ...given } = this.#given;
    const answer = await this.#transport.whole({ ...this.#route, accept: JSON_TYPE }, given, this.#options);
    return { ...answer, parsed: data(answer, false) as M };
  }
}

/** Plain text, piece after piece: `X-Next-Offset` says where the next one begins. */
async function* textLines(
  transport: Transport,
  route: Route,
  given: Arguments,
  options: CallOptions,
): AsyncGenerator<StepLine, void, undefined> {
  const step = typeof given["step"] === "string" ? given["step"] : null;
  const cutter = new LineCutter();
  for (let offset = Number(given["offset"] ?? 0); ; ) {
    const answer = await transport.whole({ ...route, accept: TEXT }, { ...given, offset }, options);
    for (const text of cutter.feed(answer.body)) {
      yield { step, text };
    }
    const next = Number(answer.headers.get("X-Next-Offset") ?? offset);
    if (!(next > offset) || given["limit"] !== undefined) {
      break; // its end, or as much as was wanted
    }
    offset = next;
  }
  const text = cutter.rest();
  if (text) {
    yield { step, text };
  }
}
