// Server-sent events that go on where they broke off.
import { apiError, notOurs } from "./answers.js";
import { type APIError, APIConnectionError } from "./errors.js";
import { isTransient } from "./retries.js";
import { EventParser, type ServerSentEvent } from "./sse.js";
import type { CallOptions, Route, Streamed, Transport } from "./transport.js";
import type { Arguments } from "./urls.js";
import { sleep } from "./waiting.js";

const STREAM = "text/event-stream";
const BETWEEN_MS = 500;
const FRUITLESS = 5;

/**
 * The events of a stream. It connects again, with `Last-Event-ID`, when the stream ends or breaks before `last` is
 * true of an event; a few connections without an event are a failure.
 *
 * @throws APIError for the event `closed`, whose data names it; what `errors.ts` says for connections.
 */
export async function* events(
  transport: Transport,
  route: Route,
  given: Arguments,
  last: (event: ServerSentEvent) => boolean,
  options: CallOptions = {},
): AsyncGenerator<ServerSentEvent, void, undefined> {
  let id: string | undefined;
  for (let fruitless = 0; fruitless < FRUITLESS; fruitless++) {
    const answer = await transport.stream({ ...route, accept: STREAM }, given, continuing(options, id));
    if (answer.status === 204) {
      answer.close();
      return; // the last event had been seen
    }
    try {
      for await (const event of eventsOf(answer)) {
        fruitless = 0;
        id = event.id ?? id;
        if (event.event === "closed") {
          throw closed(event);
        }
        yield event;
        if (last(event)) {
          return;
        }
      }
    } catch (error) {
      if (!(error instanceof APIConnectionError) || !isTransient(error)) {
        throw error;
      }
    } finally {
      answer.close();
    }
    await sleep(BETWEEN_MS, options.signal);
  }
  throw new APIConnectionError(`${route.id}: the stream broke off ${FRUITLESS} times, and nothing came`);
}

function continuing(options: CallOptions, id: string | undefined): CallOptions {
  return id ? { ...options, extraHeaders: { ...options.extraHeaders, "Last-Event-ID": id } } : options;
}

async function* eventsOf(answer: Streamed): AsyncGenerator<ServerSentEvent, void, undefined> {
  if (!answer.headers.get("Content-Type")?.startsWith(STREAM)) {
    let body = "";
    for await (const piece of answer.pieces()) {
      body += piece;
      if (body.length > 200) {
        break;
      }
    }
    throw notOurs({ ...answer, body });
  }
  const parser = new EventParser();
  for await (const piece of answer.pieces()) {
    yield* parser.feed(piece);
  }
}

// The reader may not see it any more: a token that expired, a permission that is gone, a log that is.
const STATUS_OF_CLOSED: Readonly<Record<string, number>> = { AUTHENTICATION_FAILED: 401, RESOURCE_NOT_FOUND: 404 };

function closed(event: ServerSentEvent): APIError {
  const { code, message } = dataOf(event) as { code?: string; message?: string };
  const status = STATUS_OF_CLOSED[code ?? ""] ?? 403;
  const body = JSON.stringify({ error: { code, message: message ?? "the server closed the stream" } });
  return apiError({ status, headers: new Headers(), body });
}

/** The JSON of an event's data. */
export function dataOf(event: ServerSentEvent): unknown {
  try {
    return JSON.parse(event.data);
  } catch (error) {
    throw notOurs({ status: 200, headers: new Headers({ "Content-Type": STREAM }), body: event.data }, error);
  }
}
