package com.aiagents.sdk;

import com.aiagents.sdk.internal.OperationCalls;
import com.aiagents.sdk.internal.Transport;

/** What {@code client.operations()} can do beside its calls. */
public class OperationHandles {
  private final Transport transport;

  /** For the generated resource. */
  protected OperationHandles(Transport transport) {
    this.transport = transport;
  }

  /**
   * The handle of an operation that was begun before, be it by another process.
   *
   * @throws com.aiagents.sdk.errors.NotFoundException there is no such operation
   */
  public OperationHandle resume(String operationId) {
    if (operationId == null || operationId.isBlank()) {
      throw new IllegalArgumentException("operationId must not be empty");
    }
    return new OperationHandle(transport, new OperationCalls(transport, operationId).get(RequestOptions.none()));
  }
}
