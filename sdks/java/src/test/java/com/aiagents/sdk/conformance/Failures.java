package com.aiagents.sdk.conformance;

import com.aiagents.sdk.errors.AIAgentsException;
import com.aiagents.sdk.errors.APIException;
import com.aiagents.sdk.errors.InvalidResponseException;
import com.aiagents.sdk.errors.OperationFailedException;
import com.aiagents.sdk.errors.OperationTimeoutException;
import com.aiagents.sdk.internal.Json;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;

/** Exceptions under the names that all languages have for them. */
final class Failures {
  private Failures() {}

  static ObjectNode told(Throwable failure) {
    failure.printStackTrace(System.err);
    ObjectNode error = Runner.object().put("message", failure.getMessage());
    List<String> classes = new ArrayList<>();
    for (Class<?> one = failure.getClass(); AIAgentsException.class.isAssignableFrom(one); one = one.getSuperclass()) {
      classes.add(one.getSimpleName().replaceFirst("Exception$", "Error"));
    }
    error.put("class", classes.isEmpty() ? foreign(failure) : classes.get(0));
    error.set("classes", Json.tree(classes));
    if (failure instanceof APIException api) {
      error.put("status", api.status());
      error.put("code", api.code().orElse(null));
      error.set("details", Json.tree(api.details()));
      error.put("request_id", api.requestId().orElse(null));
      error.put("retry_after", api.retryAfter().map(wait -> wait.toMillis() / 1000.0).orElse(null));
    }
    if (failure instanceof InvalidResponseException invalid) {
      error.put("status", invalid.status());
    }
    if (failure instanceof OperationFailedException failed) {
      error.put("operation_id", failed.operationId()).put("code", failed.code().orElse(null));
      error.set("steps", Json.tree(failed.steps()));
    }
    if (failure instanceof OperationTimeoutException late) {
      error.put("operation_id", late.operationId());
    }
    ObjectNode answer = Runner.object().put("ok", false);
    answer.set("error", error);
    return answer;
  }

  private static String foreign(Throwable failure) {
    if (failure instanceof IllegalArgumentException || failure instanceof NoSuchElementException) {
      return "InvalidArgument";
    }
    return failure instanceof UnsupportedOperationException ? "Unsupported" : failure.getClass().getSimpleName();
  }
}
