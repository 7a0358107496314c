package com.aiagents.sdk.internal;

import java.util.concurrent.CompletableFuture;
import java.util.function.Supplier;

/** How a request says who sends it. */
public interface Credentials {
  /** A header's name and value. */
  record Header(String name, String value) {
    @Override
    public String toString() {
      return name + ": ***";
    }
  }

  /**
   * The header of the next request.
   *
   * @param refused the header that got a 401, or null
   */
  CompletableFuture<Header> header(Header refused);

  /** Whether a 401 may be mended by a new token. */
  default boolean renewable() {
    return false;
  }

  /** An API key. */
  static Credentials key(String key) {
    Header header = new Header("X-API-Key", checked("the API key", key));
    return refused -> CompletableFuture.completedFuture(header);
  }

  /** A token that the caller has, asked for before each request. */
  static Credentials token(Supplier<String> token) {
    return refused -> {
      try {
        return CompletableFuture.completedFuture(bearer(token.get()));
      } catch (RuntimeException failure) {
        return CompletableFuture.failedFuture(failure);
      }
    };
  }

  /** None: for what the API tells everybody. */
  static Credentials none() {
    return refused -> CompletableFuture.completedFuture(null);
  }

  static Header bearer(String token) {
    return new Header("Authorization", "Bearer " + checked("the token", token));
  }

  /**
   * @throws IllegalArgumentException it cannot be sent in a header; the message does not have it
   */
  static String checked(String what, String secret) {
    String stripped = secret == null ? "" : secret.strip();
    if (stripped.isEmpty()) {
      throw new IllegalArgumentException(what + " is empty");
    }
    if (!stripped.chars().allMatch(one -> one > 0x20 && one < 0x7f)) {
      throw new IllegalArgumentException(what + " has characters that no header takes, as spaces or line ends");
    }
    return stripped;
  }
}
