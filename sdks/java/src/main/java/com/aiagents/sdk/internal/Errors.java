package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.APIConnectionException;
import com.aiagents.sdk.errors.APIException;
import com.aiagents.sdk.errors.APITimeoutException;
import com.aiagents.sdk.errors.AIAgentsException;
import com.aiagents.sdk.errors.ErrorCodes;
import com.aiagents.sdk.errors.Failure;
import com.aiagents.sdk.models.Fault;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import javax.net.ssl.SSLException;

/** Failures in the SDK's classes, and in words that say what to do. */
final class Errors {
  private Errors() {}

  /** An error status. */
  static APIException of(Answer answer, Duration retryAfter) {
    JsonNode error = error(answer);
    String requestId = answer.header("X-Request-ID").orElse(null);
    if (error == null) {
      String message = advice("the server answered with an error that is not the API's (" + answer.told() + ")", answer.status(), retryAfter);
      return APIException.of(
          new Failure(answer.status(), null, message, List.of(), requestId, retryAfter, answer.plainHeaders()));
    }
    String code = error.path("code").asText();
    List<Fault> faults = faults(error.path("details"));
    StringBuilder told = new StringBuilder(error.path("message").asText(code));
    faults.stream().limit(10).forEach(one -> told.append("; ").append(one.field()).append(": ").append(one.message()));
    told.append(" (").append(answer.status()).append(' ').append(code);
    told.append(requestId == null ? ")" : ", request " + requestId + ")");
    return APIException.of(
        new Failure(
            answer.status(),
            code,
            advice(told.toString(), answer.status(), retryAfter),
            faults,
            requestId,
            retryAfter,
            answer.plainHeaders()));
  }

  /** An error that an event tells, as if it were an answer: its status is its code's. */
  static APIException told(JsonNode event) {
    String code = event.path("code").asText("");
    int status = ErrorCodes.STATUSES.getOrDefault(code, 403);
    String message = "the server ended the stream: " + event.path("message").asText("") + " (" + status + " " + code + ")";
    return APIException.of(new Failure(status, code, message, List.of(), null, null, Map.of()));
  }

  private static JsonNode error(Answer answer) {
    if (!answer.isJson()) {
      return null;
    }
    try {
      JsonNode error = Json.MAPPER.readTree(answer.body()).path("error");
      return error.path("code").isTextual() ? error : null;
    } catch (IOException failure) {
      return null;
    }
  }

  private static List<Fault> faults(JsonNode details) {
    List<Fault> faults = new ArrayList<>();
    for (JsonNode one : details) {
      if (one.isObject()) {
        faults.add(LogEvents.read(one, Fault.class));
      }
    }
    return faults;
  }

  private static String advice(String message, int status, Duration retryAfter) {
    if (status == 401) {
      return message + ". Check the API key (AI_AGENTS_API_KEY) or the token";
    }
    if (retryAfter != null) {
      return message + ". Try again in " + retryAfter.toSeconds() + " s";
    }
    return status >= 300 && status < 400 && status != 304 ? message + ". The API does not redirect: check the base URL" : message;
  }

  /** No answer. */
  static AIAgentsException of(Throwable failure, URI address, Duration timeout) {
    Throwable cause = Futures.cause(failure);
    String where = address.getScheme() + "://" + address.getAuthority();
    if (cause instanceof AIAgentsException ours) {
      return ours;
    }
    if (cause instanceof TimeoutException || cause instanceof HttpTimeoutException) {
      return new APITimeoutException(where + " did not answer within " + seconds(timeout), cause);
    }
    if (cause instanceof SSLException) {
      return new APIConnectionException(
          "no TLS connection to " + where + ": " + cause.getMessage()
              + ". Is its certificate good, and its authority in this JVM's trust store?",
          cause);
    }
    if (cause instanceof ConnectException) {
      return new APIConnectionException(
          "cannot connect to " + where + (cause.getMessage() == null ? "" : ": " + cause.getMessage())
              + ". Is the base URL right (AI_AGENTS_BASE_URL), and does the server run?",
          cause);
    }
    if (cause instanceof IOException) {
      return new APIConnectionException("the connection to " + where + " broke: " + cause.getMessage(), cause);
    }
    return new AIAgentsException("the request to " + where + " failed: " + cause, cause);
  }

  /** A certificate does not get better. */
  static boolean lasting(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof java.security.cert.CertificateException || cause instanceof java.security.cert.CertPathValidatorException) {
        return true;
      }
    }
    return false;
  }

  /** Whether there was no connection to send anything by. */
  static boolean unsent(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      if (cause instanceof java.net.ConnectException || cause instanceof java.net.http.HttpConnectTimeoutException) {
        return true;
      }
    }
    return false;
  }

  private static String seconds(Duration duration) {
    return duration.toMillis() % 1000 == 0 ? duration.toSeconds() + " s" : duration.toMillis() + " ms";
  }
}
