package com.aiagents.sdk.internal;

import java.net.http.HttpClient;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;

/**
 * What a client was made with.
 *
 * @param timeout of one try
 * @param headers sent with every request
 * @param observer sees each good answer, or null
 */
public record Settings(
    HttpClient http,
    BaseUrl base,
    Credentials credentials,
    Duration timeout,
    int maxRetries,
    Map<String, String> headers,
    Consumer<Answer> observer) {
  Settings observedBy(Consumer<Answer> other) {
    return new Settings(http, base, credentials, timeout, maxRetries, headers, other);
  }

  /** Without credentials and headers. */
  @Override
  public String toString() {
    return base.root() + ", timeout " + timeout + ", " + maxRetries + " retries";
  }
}
