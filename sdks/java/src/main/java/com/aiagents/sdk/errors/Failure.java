package com.aiagents.sdk.errors;

import com.aiagents.sdk.models.Fault;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * An error answer as it came.
 *
 * @param status the status code
 * @param code the API's, or null
 * @param message what a user is told
 * @param details its faults and facts; may be empty
 * @param requestId what to tell whoever runs the API, or null
 * @param retryAfter what the server asks to wait, or null
 * @param headers by their names in lower case
 */
public record Failure(
    int status,
    String code,
    String message,
    List<Fault> details,
    String requestId,
    Duration retryAfter,
    Map<String, String> headers) {
  public Failure {
    details = List.copyOf(details);
    headers = Map.copyOf(headers);
  }
}
