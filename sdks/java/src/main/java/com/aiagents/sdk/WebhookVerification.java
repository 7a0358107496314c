package com.aiagents.sdk;

import com.aiagents.sdk.errors.WebhookVerificationException;
import com.aiagents.sdk.internal.Json;
import com.aiagents.sdk.internal.Transport;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Whether a webhook is the API's. A receiver needs no client for it.
 *
 * <p>Where there is a {@code webhook-signature} (Standard Webhooks) it decides, with the time; only where there is none,
 * {@code X-Signature-256} does, which has no time.
 */
public class WebhookVerification {
  /** How old, or how far ahead, a webhook may be. */
  public static final Duration TOLERANCE = Duration.ofMinutes(5);

  private static final String PREFIX = "whsec_";

  /** For the generated resource. */
  protected WebhookVerification(Transport transport) {
    // Nothing is asked of the API.
  }

  /** The same as with {@link #TOLERANCE}, now. */
  public static WebhookMessage verify(byte[] payload, Map<String, ?> headers, String... secrets) {
    return verify(payload, headers, List.of(secrets), TOLERANCE, Instant.now());
  }

  /** The same of a body that was read as UTF-8. */
  public static WebhookMessage verify(String payload, Map<String, ?> headers, String... secrets) {
    return verify(payload.getBytes(StandardCharsets.UTF_8), headers, secrets);
  }

  /**
   * The event, if one of the secrets signed it.
   *
   * @param payload the body as it came, before any parser
   * @param headers in any case; the values are texts or collections of texts
   * @param secrets with {@code whsec_}; two while one is being rotated
   * @param tolerance how old, or how far ahead, it may be
   * @throws WebhookVerificationException a signature or a header is missing or wrong, or it is too old
   * @throws IllegalArgumentException there is no secret, or one that is none
   */
  public static WebhookMessage verify(
      byte[] payload, Map<String, ?> headers, List<String> secrets, Duration tolerance, Instant now) {
    if (secrets.isEmpty() || secrets.stream().anyMatch(one -> one == null || one.isBlank())) {
      throw new IllegalArgumentException("a webhook cannot be verified without its secret");
    }
    String standard = header(headers, "webhook-signature");
    String contract = header(headers, "x-signature-256");
    if (standard != null) {
      byte[] signed = signed(headers, payload, tolerance, now);
      List<byte[]> given = signatures(standard);
      if (secrets.stream().noneMatch(one -> matches(hmac(key(one), signed), given))) {
        throw new WebhookVerificationException("no signature of the webhook is by this secret");
      }
    } else if (contract != null) {
      List<byte[]> given = hex(contract);
      if (secrets.stream().noneMatch(one -> matches(hmac(one.getBytes(StandardCharsets.UTF_8), payload), given))) {
        throw new WebhookVerificationException("the webhook's signature is not by this secret");
      }
    } else {
      throw new WebhookVerificationException("the webhook has neither webhook-signature nor X-Signature-256");
    }
    return message(payload);
  }

  private static WebhookMessage message(byte[] payload) {
    try {
      return new WebhookMessage(Json.MAPPER.readTree(payload));
    } catch (IOException wrong) {
      throw new WebhookVerificationException("the webhook is signed, and its body is not JSON");
    }
  }

  /** What Standard Webhooks sign: {@code id.timestamp.body}. */
  private static byte[] signed(Map<String, ?> headers, byte[] payload, Duration tolerance, Instant now) {
    String id = header(headers, "webhook-id");
    String time = header(headers, "webhook-timestamp");
    if (id == null || id.isEmpty() || time == null || !time.matches("\\d{1,12}")) {
      throw new WebhookVerificationException("the webhook lacks webhook-id or webhook-timestamp, or they are not right");
    }
    Duration off = Duration.between(Instant.ofEpochSecond(Long.parseLong(time)), now).abs();
    if (off.compareTo(tolerance) > 0) {
      throw new WebhookVerificationException(
          "the webhook's time is " + off.toSeconds() + " s off, more than " + tolerance.toSeconds() + " s: is this machine's clock right?");
    }
    byte[] beginning = (id + "." + time + ".").getBytes(StandardCharsets.UTF_8);
    byte[] whole = java.util.Arrays.copyOf(beginning, beginning.length + payload.length);
    System.arraycopy(payload, 0, whole, beginning.length, payload.length);
    return whole;
  }

  private static List<byte[]> signatures(String header) {
    List<byte[]> found = new ArrayList<>();
    for (String one : header.strip().split("\\s+")) {
      if (one.startsWith("v1,")) {
        try {
          found.add(Base64.getDecoder().decode(one.substring(3)));
        } catch (IllegalArgumentException noBase64) {
          // No signature at all.
        }
      }
    }
    return found;
  }

  private static List<byte[]> hex(String header) {
    String text = header.strip();
    try {
      return text.startsWith("sha256=") ? List.of(HexFormat.of().parseHex(text.substring(7))) : List.of();
    } catch (IllegalArgumentException noHex) {
      return List.of();
    }
  }

  private static byte[] key(String secret) {
    String text = secret.strip();
    try {
      byte[] key = Base64.getDecoder().decode(text.startsWith(PREFIX) ? text.substring(PREFIX.length()) : text);
      if (key.length > 0) {
        return key;
      }
    } catch (IllegalArgumentException noBase64) {
      // Said below, without the secret.
    }
    throw new IllegalArgumentException("a webhook secret is whsec_ and base64; this one is not");
  }

  private static byte[] hmac(byte[] key, byte[] signed) {
    try {
      Mac mac = Mac.getInstance("HmacSHA256");
      mac.init(new SecretKeySpec(key, "HmacSHA256"));
      return mac.doFinal(signed);
    } catch (GeneralSecurityException impossible) {
      throw new IllegalStateException("every JVM has HmacSHA256", impossible);
    }
  }

  /** In constant time for each. */
  private static boolean matches(byte[] expected, List<byte[]> given) {
    boolean found = false;
    for (byte[] one : given) {
      found |= MessageDigest.isEqual(expected, one);
    }
    return found;
  }

  private static String header(Map<String, ?> headers, String name) {
    for (Map.Entry<String, ?> one : headers.entrySet()) {
      if (name.equalsIgnoreCase(one.getKey()) && one.getValue() != null) {
        Object value = one.getValue();
        return value instanceof Collection<?> many
            ? many.stream().map(String::valueOf).findFirst().orElse(null)
            : String.valueOf(value);
      }
    }
    return null;
  }
}
