package com.aiagents.sdk.internal;

/** Reads what a method returns in a success. */
@FunctionalInterface
public interface Reader<T> {
  /**
   * @throws com.aiagents.sdk.errors.InvalidResponseException it is not there
   */
  T read(Answer answer);
}
