import { AIAgentsError, InvalidResponseError } from "./errors.js";
import type { Pagination } from "./generated/models.js";
import { ApiPromise, type RawResponse } from "./promise.js";

/** Where the next page is: arguments that replace those of this one. */
export type Position = { readonly cursor: string } | { readonly page: number };

/** One page of a list. `for await` goes over the items of this one and of all that follow. */
export class Page<T> implements AsyncIterable<T> {
  readonly data: readonly T[];
  readonly pagination: Pagination;
  readonly #turn: (to: Position) => Promise<Page<T>>;

  constructor(data: readonly T[], pagination: Pagination, turn: (to: Position) => Promise<Page<T>>) {
    this.data = data;
    this.pagination = pagination;
    this.#turn = turn;
  }

  /** Of the whole list; an estimate beyond 10,000 (`pagination.total_is_estimate`), null after a cursor. */
  get total(): number | null {
    return this.pagination.total ?? null;
  }

  get hasNextPage(): boolean {
    return this.pagination.has_next;
  }

  /**
   * The next page, by its cursor where the server gives one.
   *
   * @throws AIAgentsError if this is the last one.
   */
  async getNextPage(): Promise<Page<T>> {
    const { has_next, next_cursor, page } = this.pagination;
    if (!has_next) {
      throw new AIAgentsError("this is the last page: ask hasNextPage before");
    }
    const next = await this.#turn(next_cursor ? { cursor: next_cursor } : { page: (page ?? 1) + 1 });
    if (next_cursor && next.pagination.next_cursor === next_cursor) {
      throw new InvalidResponseError("the next page leads to itself", 200);
    }
    return next;
  }

  /** This page and all that follow. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    let page: Page<T> = this;
    yield page;
    while (page.hasNextPage) {
      page = await page.getNextPage();
      yield page;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) {
      yield* page.data;
    }
  }
}

/** What a list gives back: await it for the first page, or iterate over it for all items of all pages. */
export class PagePromise<T> extends ApiPromise<Page<T>> implements AsyncIterable<T> {
  constructor(raw: Promise<RawResponse<Page<T>>>) {
    super(raw);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    yield* await this;
  }
}
