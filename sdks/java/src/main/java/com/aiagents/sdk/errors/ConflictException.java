package com.aiagents.sdk.errors;

/** 409: it conflicts with the present state, or with another resource. */
public class ConflictException extends APIException {
  private static final long serialVersionUID = 1L;

  public ConflictException(Failure failure) {
    super(failure);
  }
}
