package com.aiagents.sdk.internal;

import com.aiagents.sdk.RawResponse;

/** Answers as a user sees them. */
public final class RawAnswers {
  private RawAnswers() {}

  public static <T> RawResponse<T> of(Answer answer, T parsed) {
    return new RawResponse<>(answer.status(), answer.plainHeaders(), answer.text(), parsed);
  }
}
