package com.aiagents.sdk.errors;

/** The signature, the time or the headers of a webhook are not right: answer 400, and do nothing else. */
public class WebhookVerificationException extends AIAgentsException {
  private static final long serialVersionUID = 1L;

  public WebhookVerificationException(String message) {
    super(message);
  }
}
