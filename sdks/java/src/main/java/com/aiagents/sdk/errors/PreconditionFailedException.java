package com.aiagents.sdk.errors;

/** 412: {@code If-Match} names an older state; read it again. */
public class PreconditionFailedException extends APIException {
  private static final long serialVersionUID = 1L;

  public PreconditionFailedException(Failure failure) {
    super(failure);
  }
}
