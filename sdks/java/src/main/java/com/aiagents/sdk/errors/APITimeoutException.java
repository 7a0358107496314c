package com.aiagents.sdk.errors;

/** A try took longer than its timeout. */
public class APITimeoutException extends APIConnectionException {
  private static final long serialVersionUID = 1L;

  public APITimeoutException(String message, Throwable cause) {
    super(message, cause);
  }
}
