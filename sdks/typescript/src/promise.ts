/** An answer as it came, and what it was read as. */
export interface RawResponse<T> {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  readonly parsed: T;
}

/** What a method gives back: await it for the value, or its `withRawResponse()` for the answer too. */
export class ApiPromise<T> extends Promise<T> {
  readonly #raw: Promise<RawResponse<T>>;

  constructor(raw: Promise<RawResponse<T>>) {
    super((resolve) => resolve(undefined as T));
    this.#raw = raw;
  }

  /** Status, headers and text of the answer; error statuses are errors all the same. */
  withRawResponse(): Promise<RawResponse<T>> {
    return this.#raw;
  }

  override then<A = T, B = never>(
    onfulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#raw.then((raw) => raw.parsed).then(onfulfilled, onrejected);
  }

  override catch<B = never>(onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.then(undefined, onrejected);
  }

  override finally(onfinally?: (() => void) | null): Promise<T> {
    return this.#raw.then((raw) => raw.parsed).finally(onfinally);
  }
}
