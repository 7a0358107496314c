package com.aiagents.sdk.errors;

/** The operation is still running, and goes on: {@code client.operations().resume(operationId)}. */
public class OperationTimeoutException extends AIAgentsException {
  private static final long serialVersionUID = 1L;
  private final String operationId;

  public OperationTimeoutException(String operationId, String message) {
    super(message);
    this.operationId = operationId;
  }

  public String operationId() {
    return operationId;
  }
}
