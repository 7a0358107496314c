package com.aiagents.sdk.errors;

/** 403: the credentials are good, and do not permit this. */
public class PermissionDeniedException extends APIException {
  private static final long serialVersionUID = 1L;

  public PermissionDeniedException(Failure failure) {
    super(failure);
  }
}
