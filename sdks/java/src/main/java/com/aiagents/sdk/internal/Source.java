package com.aiagents.sdk.internal;

/** Where the items of a stream come from. */
public interface Source<T> extends AutoCloseable {
  /** The next one, or null after the last. */
  T next();

  @Override
  void close();
}
