package com.aiagents.sdk.errors;

/** A success whose body is not the API's JSON, as a proxy's page is. */
public class InvalidResponseException extends AIAgentsException {
  private static final long serialVersionUID = 1L;
  private final int status;

  public InvalidResponseException(int status, String message, Throwable cause) {
    super(message, cause);
    this.status = status;
  }

  public int status() {
    return status;
  }
}
