package com.aiagents.sdk.errors;

/** 500 to 599: a fault of the server, or of what stands before it. */
public class InternalServerException extends APIException {
  private static final long serialVersionUID = 1L;

  public InternalServerException(Failure failure) {
    super(failure);
  }
}
