package com.aiagents.sdk;

import com.aiagents.sdk.internal.Source;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * What comes line by line and may not end: a log that is followed, an export, the states of an operation. It can be read
 * once. Close it, unless it is read to its end.
 *
 * @param <T> the lines
 */
public final class LineStream<T> implements Iterable<T>, AutoCloseable {
  private final Source<T> source;
  private boolean taken;

  /** For the core. */
  public LineStream(Source<T> source) {
    this.source = source;
  }

  /**
   * The lines; waits for each.
   *
   * @throws IllegalStateException it was asked for before
   */
  @Override
  public Iterator<T> iterator() {
    if (taken) {
      throw new IllegalStateException("a stream can be read once");
    }
    taken = true;
    return new Iterator<>() {
      private T next;
      private boolean over;

      @Override
      public boolean hasNext() {
        if (next == null && !over) {
          next = source.next();
          if (next == null) {
            over = true;
            close();
          }
        }
        return next != null;
      }

      @Override
      public T next() {
        if (!hasNext()) {
          throw new NoSuchElementException();
        }
        T given = next;
        next = null;
        return given;
      }
    };
  }

  /** The lines; closing the stream closes this. */
  public Stream<T> stream() {
    return StreamSupport.stream(spliterator(), false).onClose(this::close);
  }

  @Override
  public void close() {
    source.close();
  }
}
