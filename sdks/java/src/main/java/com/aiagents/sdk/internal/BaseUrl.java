package com.aiagents.sdk.internal;

import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Map;
import java.util.StringJoiner;

/**
 * Where the API is.
 *
 * @param root without {@code /v1} and without a slash at its end
 */
public record BaseUrl(String root) {
  /**
   * Takes what people write: with and without {@code /v1}, with a slash at the end or none.
   *
   * @throws IllegalArgumentException it is no address of http or https
   */
  public static BaseUrl of(String text) {
    URI uri;
    try {
      uri = new URI(text.strip());
    } catch (URISyntaxException wrong) {
      throw new IllegalArgumentException("baseUrl is no address, as https://delivery.example.com is");
    }
    boolean web = "http".equalsIgnoreCase(uri.getScheme()) || "https".equalsIgnoreCase(uri.getScheme());
    if (!web || uri.getHost() == null || uri.getRawUserInfo() != null || uri.getRawQuery() != null || uri.getRawFragment() != null) {
      throw new IllegalArgumentException("baseUrl must be http:// or https://, a host, and perhaps a path: no user, query or fragment");
    }
    String root = withoutSlashes(uri.toString());
    return new BaseUrl(root.endsWith("/v1") ? withoutSlashes(root.substring(0, root.length() - 3)) : root);
  }

  private static String withoutSlashes(String text) {
    int end = text.length();
    while (end > 0 && text.charAt(end - 1) == '/') {
      end--;
    }
    return text.substring(0, end);
  }

  /** An address of the API. */
  URI of(String template, Map<String, String> path, Map<String, Object> query) {
    String filled = template;
    for (Map.Entry<String, String> one : path.entrySet()) {
      filled = filled.replace("{" + one.getKey() + "}", encoded(one.getValue()));
    }
    StringJoiner asked = new StringJoiner("&", "?", "").setEmptyValue("");
    query.forEach((name, value) -> asked.add(encoded(name) + "=" + encoded(text(value))));
    return URI.create(root + "/v1" + filled + asked);
  }

  private static String text(Object value) {
    return value instanceof OffsetDateTime time
        ? DateTimeFormatter.ISO_OFFSET_DATE_TIME.format(time)
        : String.valueOf(value);
  }

  URI token() {
    return URI.create(root + "/oauth/token");
  }

  /** Each byte of UTF-8 but {@code A-Z a-z 0-9 - . _ ~} as {@code %XX}. */
  static String encoded(String text) {
    StringBuilder made = new StringBuilder();
    for (byte one : text.getBytes(StandardCharsets.UTF_8)) {
      boolean plain = one >= 'a' && one <= 'z' || one >= 'A' && one <= 'Z' || one >= '0' && one <= '9' || "-._~".indexOf(one) >= 0;
      if (plain) {
        made.append((char) one);
      } else {
        made.append(String.format("%%%02X", one & 0xff));
      }
    }
    return made.toString();
  }
}
