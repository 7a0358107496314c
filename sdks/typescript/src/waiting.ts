/** Ends after so many milliseconds; rejects with the signal's reason if that comes first. */
export function sleep(milliseconds: number, signal?: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const end = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", end, { once: true });
  });
}

/** What was promised, or the signal's reason; the promise goes on for others who wait for it. */
export function unlessAborted<T>(promised: Promise<T>, signal?: AbortSignal | undefined): Promise<T> {
  if (!signal) {
    return promised;
  }
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    // first of all: a failure that nobody takes would end the process
    promised.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
    if (signal.aborted) {
      end();
    }
    signal.addEventListener("abort", end, { once: true });
  });
}

// setTimeout takes no more: a longer limit is none.
const LONGEST_TIMER = 2 ** 31 - 1;

/** Ends a request: for its limit, which may be set anew while something comes, or for the caller's signal. */
export class Limit {
  /** Whether it was the limit. */
  exceeded = false;
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #milliseconds: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(milliseconds: number, outer?: AbortSignal | undefined) {
    if (!(milliseconds > 0)) {
      throw new TypeError("timeout is more than 0 milliseconds");
    }
    outer?.throwIfAborted();
    this.#milliseconds = milliseconds;
    this.#outer = outer;
    outer?.addEventListener("abort", this.#abort, { once: true });
    this.restart();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  restart(): void {
    this.pause();
    if (this.#milliseconds <= LONGEST_TIMER) {
      this.#timer = setTimeout(() => {
        this.exceeded = true;
        this.#controller.abort();
      }, this.#milliseconds);
    }
  }

  /** Time does not count until `restart`. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  /** To be called in the end: timers keep a process alive. */
  clear(): void {
    this.pause();
    this.#outer?.removeEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => {
    this.#controller.abort(this.#outer?.reason);
  };
}
