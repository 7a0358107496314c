package com.aiagents.sdk.errors;

/**
 * The root of all that the SDK throws, but for wrong arguments ({@link IllegalArgumentException}).
 *
 * <pre>
 * AIAgentsException
 *   APIConnectionException          no answer, or not a whole one
 *     APITimeoutException
 *   APIException                    an error status
 *     BadRequestException           400, and so on: one for each status,
 *       ValidationException         and below it one for each code
 *   InvalidResponseException        a success that is not the API's JSON
 *   OperationFailedException        an operation ended otherwise than well
 *   OperationTimeoutException       it is still running
 *   WebhookVerificationException
 * </pre>
 */
public class AIAgentsException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public AIAgentsException(String message) {
    super(message);
  }

  public AIAgentsException(String message, Throwable cause) {
    super(message, cause);
  }
}
