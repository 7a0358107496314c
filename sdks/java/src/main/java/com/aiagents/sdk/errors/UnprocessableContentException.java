package com.aiagents.sdk.errors;

/** 422: well formed, but it makes no sense. */
public class UnprocessableContentException extends APIException {
  private static final long serialVersionUID = 1L;

  public UnprocessableContentException(Failure failure) {
    super(failure);
  }
}
