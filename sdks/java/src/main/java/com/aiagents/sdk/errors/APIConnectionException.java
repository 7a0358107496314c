package com.aiagents.sdk.errors;

/** There was no answer, or not a whole one: refused, reset, TLS, cut off. */
public class APIConnectionException extends AIAgentsException {
  private static final long serialVersionUID = 1L;

  public APIConnectionException(String message, Throwable cause) {
    super(message, cause);
  }
}
