package com.aiagents.sdk.errors;

/** 400: the request is not valid; {@code details} say which fields. */
public class BadRequestException extends APIException {
  private static final long serialVersionUID = 1L;

  public BadRequestException(Failure failure) {
    super(failure);
  }
}
