import { data } from "./answers.js";
import { APIConnectionError, APIError, InvalidResponseError, OperationFailedError, OperationTimeoutError } from "./errors.js";
import { dataOf, events } from "./events.js";
import type { AcceptedOperation, CancelRequest, Deployment, Operation, OperationStatus } from "./generated/models.js";
import type { CallOptions, Route, Transport } from "./transport.js";
import { Limit, sleep } from "./waiting.js";

/** How to wait for an operation. */
export interface WaitOptions {
  /** Milliseconds for all of it, an hour if nothing is said; `Infinity` for no end. Then an OperationTimeoutError. */
  readonly timeout?: number | undefined;
  /** Called with each state that is news; awaited. What it throws ends the waiting. */
  readonly onProgress?: ((operation: Operation) => unknown) | undefined;
  /** Milliseconds between two looks, where there are no server-sent events; the server's own if nothing is said. */
  readonly pollInterval?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const GET: Route = { id: "operations.get", verb: "GET", path: "/operations/{operation_id}" };
const EVENTS: Route = { id: "operations.events", verb: "GET", path: "/operations/{operation_id}/events" };
const CANCEL: Route = { id: "operations.cancel", verb: "POST", path: "/operations/{operation_id}/cancel", body: true };
const DEPLOYMENT: Route = { id: "deployments.get", verb: "GET", path: "/deployments/{deployment_id}" };

const HOUR_MS = 3_600_000;
const POLL_MS = 5_000;
const DONE = new Set<string>(["completed", "failed", "cancelled"]);
// What says that there is no stream: others are errors of the waiting.
const NO_STREAM = new Set([404, 405, 406, 501]);

/** An operation that runs on the server, whether anybody waits for it or not. */
export class OperationHandle {
  /** For `client.operations.resume(id)`, in this or another process. */
  readonly id: string;
  readonly #transport: Transport;
  #pollMs: number;
  #accepted: AcceptedOperation | undefined;
  #operation: Operation | undefined;

  constructor(transport: Transport, from: AcceptedOperation | Operation) {
    this.id = from.operation_id;
    this.#transport = transport;
    this.#pollMs = POLL_MS;
    if ("steps" in from) {
      this.#operation = from;
    } else {
      this.#accepted = from;
      this.#pollMs = from.poll_interval_seconds * 1000;
    }
  }

  /** As it was last seen; undefined before the first look. */
  get operation(): Operation | undefined {
    return this.#operation;
  }

  /** As it was last seen. */
  get status(): OperationStatus {
    return this.#operation?.status ?? this.#accepted?.status ?? "pending";
  }

  /** Whether it has ended, well or badly, as it was last seen. */
  get done(): boolean {
    return this.#operation?.done ?? DONE.has(this.status);
  }

  /** Of the deployment that it makes, which is there from the first moment. */
  get deploymentId(): string {
    return this.#operation?.resource_id ?? this.#accepted?.resource_id ?? "";
  }

  /** A look at it. */
  async refresh(options?: CallOptions): Promise<Operation> {
    const answer = await this.#transport.whole(GET, { operation_id: this.id }, options);
    return this.#see(data(answer, false) as Operation);
  }

  /** Ask for its end: it is `cancelling` until what it began is undone. */
  async cancel(given: CancelRequest = {}, options?: CallOptions): Promise<Operation> {
    const answer = await this.#transport.whole(CANCEL, { ...given, operation_id: this.id }, options);
    return this.#see(data(answer, false) as Operation);
  }

  /**
   * Wait for its end, however it ends.
   *
   * @throws OperationTimeoutError at the end of `timeout`: it runs on.
   */
  async wait(options: WaitOptions = {}): Promise<Operation> {
    const limit = new Limit(options.timeout ?? HOUR_MS, options.signal);
    try {
      return await this.#follow(options, limit.signal);
    } catch (error) {
      if (limit.exceeded) {
        throw new OperationTimeoutError(
          `operation ${this.id} is still ${this.status}; client.operations.resume("${this.id}") waits on`,
          this.id,
        );
      }
      throw error;
    } finally {
      limit.clear();
    }
  }

  /**
   * Its deployment, once it has ended well.
   *
   * @throws OperationFailedError with code, message and steps if it did not; OperationTimeoutError as `wait`.
   */
  async result(options: WaitOptions = {}): Promise<Deployment> {
    const operation = await this.wait(options);
    if (operation.status !== "completed") {
      throw failed(operation);
    }
    return deployment(this.#transport, operation.resource_id, { signal: options.signal });
  }

  async #follow({ onProgress, pollInterval }: WaitOptions, signal: AbortSignal): Promise<Operation> {
    let told: number | undefined;
    const tell = async (operation: Operation): Promise<boolean> => {
      this.#see(operation);
      if (operation.version !== told) {
        told = operation.version;
        await onProgress?.(operation);
      }
      return operation.done;
    };
    if (this.#operation?.done) {
      await tell(this.#operation);
      return this.#operation;
    }
    for (let over = await this.#streamed(tell, signal); !over; ) {
      over = await tell(await this.refresh({ signal }));
      await sleep(over ? 0 : (pollInterval ?? this.#pollMs), signal);
    }
    return this.#operation ?? (await this.refresh({ signal }));
  }

  /** Follow its events; false if there are none to follow. */
  async #streamed(tell: (operation: Operation) => Promise<boolean>, signal: AbortSignal): Promise<boolean> {
    let over = false;
    try {
      for await (const event of events(this.#transport, EVENTS, { operation_id: this.id }, () => over, { signal })) {
        if (event.event === "progress") {
          over = await tell(dataOf(event) as Operation);
        }
      }
      return over || (await tell(await this.refresh({ signal })));
    } catch (error) {
      if (isNoStream(error)) {
        return false;
      }
      throw error;
    }
  }

  #see(operation: Operation): Operation {
    if (!this.#operation || operation.version >= this.#operation.version) {
      this.#operation = operation;
    }
    return operation;
  }
}

/** Servers and proxies that have no streams, or cut them off: polling does without. */
function isNoStream(error: unknown): boolean {
  return error instanceof APIError ? NO_STREAM.has(error.status) || error.status === 429
    : error instanceof InvalidResponseError || error instanceof APIConnectionError;
}

function failed(operation: Operation): OperationFailedError {
  const { error, status, operation_id } = operation;
  const step = operation.steps.find((one) => one.status === "failed");
  const at = step ? ` at ${step.name}` : "";
  const message = `operation ${operation_id} is ${status}${at}${error ? `: ${error.message}` : ""}`;
  return new OperationFailedError(message, error?.code ?? status.toUpperCase(), operation);
}

/** A handle of an operation that somebody else may have begun. */
export async function resumed(transport: Transport, id: string, options?: CallOptions): Promise<OperationHandle> {
  const answer = await transport.whole(GET, { operation_id: id }, options);
  return new OperationHandle(transport, data(answer, false) as Operation);
}

/** The deployment with an id. */
export async function deployment(transport: Transport, id: string, options?: CallOptions): Promise<Deployment> {
  return data(await transport.whole(DEPLOYMENT, { deployment_id: id }, options), false) as Deployment;
}
