package com.aiagents.sdk.errors;

/** 415: a body of another type than the API takes. */
public class UnsupportedMediaTypeException extends APIException {
  private static final long serialVersionUID = 1L;

  public UnsupportedMediaTypeException(Failure failure) {
    super(failure);
  }
}
