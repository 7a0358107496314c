package com.aiagents.sdk.internal;

/** The deadline of who waits is over; nothing is wrong with what they wait for. */
public final class LateException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  LateException() {
    super(null, null, false, false);
  }
}
