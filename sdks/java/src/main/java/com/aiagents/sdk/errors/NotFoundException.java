package com.aiagents.sdk.errors;

/** 404: it does not exist, or not for this caller. */
public class NotFoundException extends APIException {
  private static final long serialVersionUID = 1L;

  public NotFoundException(Failure failure) {
    super(failure);
  }
}
