package com.aiagents.sdk;

import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * A page of a list. Iterating over it goes over all items of this page and all that follow, and asks for a page when its
 * first item is wanted.
 *
 * @param <T> the items
 */
public final class Page<T> implements Iterable<T> {
  private final List<T> data;
  private final Long total;
  private final Supplier<CompletableFuture<Page<T>>> next;

  /** For the core: {@code next} is null on the last page. */
  public Page(List<T> data, Long total, Supplier<CompletableFuture<Page<T>>> next) {
    this.data = Collections.unmodifiableList(data);
    this.total = total;
    this.next = next;
  }

  /** The items of this page. */
  public List<T> data() {
    return data;
  }

  /** How many items the list has; empty where the API does not count them (behind a cursor). */
  public Optional<Long> total() {
    return Optional.ofNullable(total);
  }

  public boolean hasNextPage() {
    return next != null;
  }

  /**
   * The page after this one.
   *
   * @throws NoSuchElementException this is the last one
   */
  public Page<T> getNextPage() {
    return com.aiagents.sdk.internal.Futures.join(getNextPageAsync());
  }

  /** The page after this one; fails with {@link NoSuchElementException} if this is the last one. */
  public CompletableFuture<Page<T>> getNextPageAsync() {
    if (next == null) {
      return CompletableFuture.failedFuture(new NoSuchElementException("this is the last page"));
    }
    return next.get();
  }

  /** All items from this page on; the same as the page itself. */
  public Iterable<T> autoPaging() {
    return this;
  }

  /** All items from this page on. */
  public Stream<T> stream() {
    return StreamSupport.stream(spliterator(), false);
  }

  @Override
  public Iterator<T> iterator() {
    return new Iterator<>() {
      private Page<T> page = Page.this;
      private Iterator<T> items = page.data.iterator();

      @Override
      public boolean hasNext() {
        while (!items.hasNext() && page.hasNextPage()) {
          page = page.getNextPage();
          items = page.data.iterator();
        }
        return items.hasNext();
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        return items.next();
      }
    };
  }
}
