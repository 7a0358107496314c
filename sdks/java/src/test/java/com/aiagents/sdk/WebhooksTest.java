package com.aiagents.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.aiagents.sdk.errors.WebhookVerificationException;
import com.aiagents.sdk.models.PingEvent;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WebhooksTest {
  /** The vector of Standard Webhooks. */
  private static final String SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

  private static final String PAYLOAD = "{\"test\": 2432232314}";
  private static final Instant NOW = Instant.ofEpochSecond(1614265330);
  private static final Map<String, String> HEADERS =
      Map.of(
          "webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek",
          "webhook-timestamp", "1614265330",
          "webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");

  private static WebhookMessage verify(Map<String, ?> headers, Instant now, String... secrets) {
    return WebhookVerification.verify(
        PAYLOAD.getBytes(StandardCharsets.UTF_8), headers, List.of(secrets), Duration.ofMinutes(5), now);
  }

  private static Map<String, String> with(String name, String value) {
    Map<String, String> headers = new HashMap<>(HEADERS);
    headers.put(name, value);
    return headers;
  }

  @Test
  void theVectorOfStandardWebhooks() {
    assertEquals(2432232314L, verify(HEADERS, NOW, SECRET).json().get("test").asLong());
  }

  @Test
  void oneOfSeveralSecretsAndOfSeveralSignatures() {
    String other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    Map<String, String> two = with("webhook-signature", "v1a,x v1,AAAA v1,%%% " + HEADERS.get("webhook-signature"));
    assertFalse(verify(two, NOW, other, SECRET).json().isEmpty());
    assertThrows(WebhookVerificationException.class, () -> verify(HEADERS, NOW, other));
  }

  @Test
  void headersInAnyCaseAndAsLists() {
    Map<String, List<String>> headers = new HashMap<>();
    HEADERS.forEach((name, value) -> headers.put(name.toUpperCase(java.util.Locale.ROOT), List.of(value)));
    assertFalse(verify(headers, NOW, SECRET).json().isEmpty());
  }

  @ParameterizedTest
  @ValueSource(longs = {-301, 301})
  void tooOldOrOfTheFuture(long off) {
    assertThrows(WebhookVerificationException.class, () -> verify(HEADERS, NOW.plusSeconds(off), SECRET));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "v1,", "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="})
  void noSignature(String signature) {
    assertThrows(WebhookVerificationException.class, () -> verify(with("webhook-signature", signature), NOW, SECRET));
  }

  @Test
  void theContractsSignature() {
    String good = "sha256=c16ab0eb2c96dc2c5c8ee9b5ae6e3c33ad9b6ba1c1a98a3ad9b5c2ab0ad4a3a0";
    assertThrows(WebhookVerificationException.class, () -> verify(Map.of("X-Signature-256", good), NOW, SECRET));
    String right = "sha256=" + Hmac.of(SECRET, PAYLOAD);
    assertFalse(verify(Map.of("X-Signature-256", right), NOW.plusSeconds(9999), "other", SECRET).json().isEmpty());
    // Where there is Standard Webhooks' signature, it decides.
    Map<String, String> both = with("X-Signature-256", right);
    both.put("webhook-signature", "v1,AAAA");
    assertThrows(WebhookVerificationException.class, () -> verify(both, NOW, SECRET));
  }

  @Test
  void withoutASecretNothingIsVerified() {
    assertThrows(IllegalArgumentException.class, () -> verify(HEADERS, NOW));
    assertThrows(IllegalArgumentException.class, () -> verify(HEADERS, NOW, ""));
    assertThrows(WebhookVerificationException.class, () -> verify(Map.of(), NOW, SECRET));
  }

  @Test
  void anEventIsAModel() {
    String payload = "{\"event\": \"ping\", \"event_id\": \"e1\", \"timestamp\": \"2026-10-26T10:30:00Z\", \"retry_count\": 1, \"data\": {\"webhook\": {}}}";
    WebhookMessage message =
        WebhookVerification.verify(payload, Map.of("X-Signature-256", "sha256=" + Hmac.of(SECRET, payload)), SECRET);
    assertEquals("ping", message.event());
    assertEquals(1, message.retryCount());
    assertInstanceOf(PingEvent.class, message.model().orElseThrow());
  }
}
