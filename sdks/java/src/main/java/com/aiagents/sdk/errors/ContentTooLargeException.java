package com.aiagents.sdk.errors;

/** 413: the body is too large. */
public class ContentTooLargeException extends APIException {
  private static final long serialVersionUID = 1L;

  public ContentTooLargeException(Failure failure) {
    super(failure);
  }
}
