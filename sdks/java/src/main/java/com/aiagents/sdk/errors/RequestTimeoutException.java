package com.aiagents.sdk.errors;

/** 408: the server waited too long for the request. */
public class RequestTimeoutException extends APIException {
  private static final long serialVersionUID = 1L;

  public RequestTimeoutException(Failure failure) {
    super(failure);
  }
}
