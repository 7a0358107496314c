package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.APIException;
import com.aiagents.sdk.errors.AuthenticationException;
import com.aiagents.sdk.errors.Failure;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/**
 * Access tokens by client credentials or by a refresh token: fetched when they are needed, renewed before they end, by
 * one request at a time for all calls.
 */
public final class OAuth implements Credentials {
  private static final Duration EARLY = Duration.ofSeconds(60);
  private static final int SHARE_OF_LIFE = 10;
  private static final long UNKNOWN_LIFE_S = 300;

  private final String clientId;
  private final String clientSecret;
  private final String scope;
  private final Consumer<String> onRefreshToken;
  private Tokens tokens;
  private String refreshToken;
  private Header current;
  private long renewAt;
  private CompletableFuture<Header> flight;

  /** Where tokens are asked for. */
  interface Tokens {
    CompletableFuture<Answer> ask(Map<String, String> form, Header authorization);
  }

  /**
   * @param clientSecret null for a public client
   * @param refreshToken null: client credentials
   */
  public OAuth(
      String clientId,
      String clientSecret,
      String scope,
      String refreshToken,
      Consumer<String> onRefreshToken) {
    this.clientId = clientId;
    this.clientSecret = clientSecret;
    this.scope = scope;
    this.refreshToken = refreshToken;
    this.onRefreshToken = onRefreshToken;
  }

  /** Once, by the transport. */
  synchronized void by(Tokens asked) {
    if (tokens == null) {
      tokens = asked;
    }
  }

  @Override
  public boolean renewable() {
    return true;
  }

  @Override
  public synchronized CompletableFuture<Header> header(Header refused) {
    if (current != null && !current.equals(refused) && System.nanoTime() - renewAt < 0) {
      return CompletableFuture.completedFuture(current);
    }
    CompletableFuture<Header> joined = flight;
    if (joined == null) {
      joined = tokens.ask(form(), authorization()).thenApply(this::taken);
      flight = joined;
      CompletableFuture<Header> begun = joined;
      begun.whenComplete((header, failure) -> landed(begun));
    }
    // A copy: who cancels their call must not cancel the others'.
    return joined.copy();
  }

  private synchronized void landed(CompletableFuture<Header> one) {
    if (flight == one) {
      flight = null;
    }
  }

  private Map<String, String> form() {
    Map<String, String> form = new LinkedHashMap<>();
    form.put("grant_type", refreshToken == null ? "client_credentials" : "refresh_token");
    if (refreshToken != null) {
      form.put("refresh_token", refreshToken);
    }
    if (scope != null) {
      form.put("scope", scope);
    }
    if (clientSecret == null && clientId != null) {
      form.put("client_id", clientId);
    }
    return form;
  }

  private Header authorization() {
    if (clientSecret == null) {
      return null;
    }
    // RFC 6749, 2.3.1: both are encoded as forms are, before Basic.
    String pair = BaseUrl.encoded(clientId) + ":" + BaseUrl.encoded(clientSecret);
    return new Header("Authorization", "Basic " + Base64.getEncoder().encodeToString(pair.getBytes(StandardCharsets.UTF_8)));
  }

  private Header taken(Answer answer) {
    JsonNode given = answer.json();
    if (!given.path("access_token").isTextual()) {
      throw answer.invalid("has no access_token", null);
    }
    Header header = Credentials.bearer(given.get("access_token").asText());
    Duration life = Duration.ofSeconds(Math.max(0, given.path("expires_in").asLong(UNKNOWN_LIFE_S)));
    Duration share = life.dividedBy(SHARE_OF_LIFE);
    Duration early = share.compareTo(EARLY) < 0 ? share : EARLY;
    String next = given.path("refresh_token").asText(null);
    synchronized (this) {
      current = header;
      renewAt = System.nanoTime() + life.minus(early).toNanos();
      if (refreshToken != null && next != null) {
        refreshToken = next;
      }
    }
    if (next != null && onRefreshToken != null) {
      onRefreshToken.accept(next);
    }
    return header;
  }

  /** RFC 6749's error instead of the API's. */
  static APIException failure(Answer answer, Duration retryAfter) {
    JsonNode error = null;
    try {
      error = answer.isJson() ? Json.MAPPER.readTree(answer.body()) : null;
    } catch (IOException cut) {
      // Told by its status alone.
    }
    boolean ours = answer.status() == 400 || answer.status() == 401;
    if (error == null || !ours || !error.path("error").isTextual()) {
      return Errors.of(answer, retryAfter);
    }
    String code = error.get("error").asText();
    String why = error.path("error_description").asText("");
    String message =
        "no access token: " + code + (why.isEmpty() ? "" : ": " + why) + ". Check client id, secret, scope and refresh token";
    return new AuthenticationException(
        new Failure(answer.status(), code, message, List.of(), answer.header("X-Request-ID").orElse(null), retryAfter, answer.plainHeaders()));
  }
}
