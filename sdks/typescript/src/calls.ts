// What the methods of generated resources do: one function for each kind of answer.
import { type Whole, data, json, notOurs } from "./answers.js";
import { dataOf, events } from "./events.js";
import type { AcceptedOperation, Deployment, Operation, Pagination } from "./generated/models.js";
import { Log, jsonLines } from "./lines.js";
import { OperationHandle, deployment, resumed } from "./operation.js";
import { Page, PagePromise, type Position } from "./pages.js";
import { ApiPromise, type RawResponse } from "./promise.js";
import type { CallOptions, Route, Transport } from "./transport.js";

type Given = object;
type Options = CallOptions | undefined;

/** The methods of one noun. */
export abstract class Resource {
  /** @internal */
  protected readonly calls: Calls;

  /** @internal */
  constructor(calls: Calls) {
    this.calls = calls;
  }
}

interface Approval {
  readonly environment: string;
  readonly approval_notes?: string | null | undefined;
  readonly request_approval?: boolean | undefined;
}

/** Production without notes waits for somebody's yes: the API refuses it otherwise. */
export function asking<T extends Approval>(given: T): T {
  const { environment, approval_notes, request_approval } = given;
  const silent = approval_notes === undefined && request_approval === undefined;
  return environment === "production" && silent ? { ...given, request_approval: true } : given;
}

/** Makes the calls of resources, and reads their answers. */
export class Calls {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  resumed(operationId: string, options: Options): Promise<OperationHandle> {
    return resumed(this.#transport, operationId, options);
  }

  model<T>(route: Route, given: Given, options: Options): ApiPromise<T> {
    return new ApiPromise(this.#raw(route, given, options, (answer) => data(answer, route.bare ?? false) as T));
  }

  document<T>(route: Route, given: Given, options: Options): ApiPromise<T> {
    return new ApiPromise(this.#raw(route, given, options, (answer) => json(answer) as T));
  }

  nothing(route: Route, given: Given, options: Options): ApiPromise<void> {
    return new ApiPromise(this.#raw(route, given, options, () => undefined));
  }

  page<T>(route: Route, given: Given, options: Options): PagePromise<T> {
    return new PagePromise(this.#page<T>(route, given, options));
  }

  operation(route: Route, given: Given, options: Options): ApiPromise<OperationHandle> {
    const handle = (answer: Whole) =>
      new OperationHandle(this.#transport, data(answer, false) as AcceptedOperation);
    return new ApiPromise(this.#raw(route, given, options, handle));
  }

  /** A deployment; one whose operation goes on (202) is read. */
  deployment(route: Route, given: Given, options: Options): ApiPromise<Deployment> {
    const { signal, timeout, maxRetries } = options ?? {};
    const read = async (answer: Whole) => {
      const found = data(answer, false) as Deployment | AcceptedOperation;
      return "resource_id" in found && answer.status === 202
        ? deployment(this.#transport, found.resource_id, { signal, timeout, maxRetries })
        : (found as Deployment);
    };
    return new ApiPromise(this.#raw(route, given, options, read));
  }

  lines<T>(route: Route, given: Given, options: Options): AsyncIterable<T> {
    return jsonLines<T>(this.#transport, route, { ...given }, options);
  }

  log<M, L>(route: Route, given: Given, options: Options): Log<M, L> {
    return new Log<M, L>(this.#transport, route, { ...given }, options);
  }

  async *events(route: Route, given: Given, options: Options): AsyncGenerator<Operation, void, undefined> {
    let over = false;
    for await (const event of events(this.#transport, route, { ...given }, () => over, options)) {
      if (event.event === "progress") {
        const operation = dataOf(event) as Operation;
        over = operation.done;
        yield operation;
      }
    }
  }

  async #raw<T>(
    route: Route,
    given: Given,
    options: Options,
    read: (answer: Whole) => T | Promise<T>,
  ): Promise<RawResponse<T>> {
    const answer = await this.#transport.whole(route, { ...given }, options);
    return { ...answer, parsed: await read(answer) };
  }

  #page<T>(route: Route, given: Given, options: Options): Promise<RawResponse<Page<T>>> {
    return this.#raw(route, given, options, (answer) => {
      const { data: items, pagination } = data(answer, true) as { data?: T[]; pagination?: Pagination };
      if (!Array.isArray(items) || !pagination) {
        throw notOurs(answer);
      }
      const turn = async (to: Position) => {
        const { page: _, cursor: __, ...same } = given as Record<string, unknown>;
        return (await this.#page<T>(route, { ...same, ...to }, options)).parsed;
      };
      return new Page(items, pagination, turn);
    });
  }
}
