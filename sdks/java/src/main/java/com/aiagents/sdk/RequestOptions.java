package com.aiagents.sdk;

import java.time.Duration;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** What one call does otherwise than its client. */
public final class RequestOptions {
  private static final RequestOptions NONE = builder().build();

  private final Duration timeout;
  private final Integer maxRetries;
  private final String idempotencyKey;
  private final Map<String, String> extraHeaders;

  private RequestOptions(Builder builder) {
    timeout = builder.timeout;
    maxRetries = builder.maxRetries;
    idempotencyKey = builder.idempotencyKey;
    extraHeaders = Collections.unmodifiableMap(new LinkedHashMap<>(builder.extraHeaders));
  }

  /** All as the client has it. */
  public static RequestOptions none() {
    return NONE;
  }

  public static Builder builder() {
    return new Builder();
  }

  /** How long one try may take. */
  public Optional<Duration> timeout() {
    return Optional.ofNullable(timeout);
  }

  /** How often it is tried again. */
  public Optional<Integer> maxRetries() {
    return Optional.ofNullable(maxRetries);
  }

  /** The key of a POST or PATCH; without it one is made. */
  public Optional<String> idempotencyKey() {
    return Optional.ofNullable(idempotencyKey);
  }

  /** More headers. */
  public Map<String, String> extraHeaders() {
    return extraHeaders;
  }

  /** Makes {@link RequestOptions}. */
  public static final class Builder {
    private Duration timeout;
    private Integer maxRetries;
    private String idempotencyKey;
    private final Map<String, String> extraHeaders = new LinkedHashMap<>();

    private Builder() {}

    /**
     * How long one try may take.
     *
     * @throws IllegalArgumentException it is not positive
     */
    public Builder timeout(Duration timeout) {
      if (timeout != null && (timeout.isZero() || timeout.isNegative())) {
        throw new IllegalArgumentException("timeout must be positive");
      }
      this.timeout = timeout;
      return this;
    }

    /**
     * How often it is tried again; 0: never.
     *
     * @throws IllegalArgumentException it is negative
     */
    public Builder maxRetries(int maxRetries) {
      if (maxRetries < 0) {
        throw new IllegalArgumentException("maxRetries must not be negative");
      }
      this.maxRetries = maxRetries;
      return this;
    }

    /** The key under which the API carries out a POST or PATCH once; only for those. */
    public Builder idempotencyKey(String idempotencyKey) {
      this.idempotencyKey = idempotencyKey;
      return this;
    }

    /** One more header; it takes the place of the client's. */
    public Builder header(String name, String value) {
      extraHeaders.put(name, value);
      return this;
    }

    public RequestOptions build() {
      return new RequestOptions(this);
    }
  }
}
