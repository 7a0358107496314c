package com.aiagents.sdk.errors;

/** 429: too many requests; {@code retryAfter} says when to go on. */
public class RateLimitException extends APIException {
  private static final long serialVersionUID = 1L;

  public RateLimitException(Failure failure) {
    super(failure);
  }
}
