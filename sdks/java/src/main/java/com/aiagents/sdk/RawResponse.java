package com.aiagents.sdk;

import java.util.Map;
import java.util.Optional;

/**
 * An answer as it came, and what the SDK reads in it.
 *
 * @param status the status code
 * @param headers by their names in lower case
 * @param body as text; empty for a stream, which is read by its reader alone
 * @param parsed what the method returns
 * @param <T> what the method returns
 */
public record RawResponse<T>(int status, Map<String, String> headers, String body, T parsed) {
  /** A header, in any case. */
  public Optional<String> header(String name) {
    return Optional.ofNullable(headers.get(name.toLowerCase(java.util.Locale.ROOT)));
  }

  /** Without the body, which may have secrets. */
  @Override
  public String toString() {
    return "RawResponse[status=" + status + "]";
  }
}
