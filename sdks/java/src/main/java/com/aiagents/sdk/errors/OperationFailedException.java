package com.aiagents.sdk.errors;

import com.aiagents.sdk.models.Operation;
import com.aiagents.sdk.models.OperationFailure;
import com.aiagents.sdk.models.OperationStep;
import java.util.List;
import java.util.Optional;

/** The operation ended otherwise than well: it failed, was cancelled or rolled back. */
public class OperationFailedException extends AIAgentsException {
  private static final long serialVersionUID = 1L;
  private final transient Operation operation;

  public OperationFailedException(Operation operation) {
    super(told(operation));
    this.operation = operation;
  }

  /** What went wrong, as {@code BUILD_FAILED}; empty if it was cancelled. */
  public Optional<String> code() {
    return operation.error().map(OperationFailure::code);
  }

  /** Its steps, of which one may have failed. */
  public List<OperationStep> steps() {
    return operation.steps();
  }

  public String operationId() {
    return operation.operationId();
  }

  /** The operation as it was last seen. */
  public Operation operation() {
    return operation;
  }

  private static String told(Operation operation) {
    String why =
        operation
            .error()
            .map(error -> ": " + error.code() + ": " + error.message())
            .orElse("");
    return "operation " + operation.operationId() + " is " + operation.status() + why;
  }
}
