package com.aiagents.sdk.errors;

/** 401: no credentials, or they are wrong, expired or revoked. */
public class AuthenticationException extends APIException {
  private static final long serialVersionUID = 1L;

  public AuthenticationException(Failure failure) {
    super(failure);
  }
}
