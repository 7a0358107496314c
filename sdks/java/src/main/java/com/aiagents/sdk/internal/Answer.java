package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.InvalidResponseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.http.HttpHeaders;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.Flow;

/**
 * What the server answered.
 *
 * @param body all of it; empty if it is a stream
 * @param stream what comes, if the call follows something; else null
 */
public record Answer(
    int status, HttpHeaders headers, byte[] body, Flow.Publisher<List<ByteBuffer>> stream) {
  static final int TOLD = 200;

  Optional<String> header(String name) {
    return headers.firstValue(name);
  }

  /** Without its parameters, in lower case. */
  String mediaType() {
    return header("Content-Type").orElse("").split(";", 2)[0].strip().toLowerCase(Locale.ROOT);
  }

  boolean isJson() {
    return mediaType().equals("application/json") || mediaType().endsWith("+json");
  }

  Map<String, String> plainHeaders() {
    Map<String, String> plain = new TreeMap<>();
    headers.map().forEach((name, values) -> plain.put(name.toLowerCase(Locale.ROOT), String.join(", ", values)));
    return plain;
  }

  String text() {
    return new String(body, StandardCharsets.UTF_8);
  }

  /** Its JSON, whatever it is. */
  JsonNode json() {
    if (!isJson()) {
      throw invalid("is not JSON", null);
    }
    try {
      JsonNode read = Json.MAPPER.readTree(body);
      if (read == null || read.isMissingNode()) {
        throw invalid("is empty", null);
      }
      return read;
    } catch (IOException failure) {
      throw invalid("is not whole JSON", failure);
    }
  }

  /** {@code data} of the API's envelope. */
  JsonNode data() {
    JsonNode whole = json();
    if (!whole.isObject() || !whole.has("data")) {
      throw invalid("is not the API's", null);
    }
    return whole.get("data");
  }

  <T> T read(JsonNode node, JavaType type) {
    try {
      return Json.MAPPER.treeToValue(node, type);
    } catch (JsonProcessingException failure) {
      throw invalid("does not read as " + type.getRawClass().getSimpleName(), null);
    }
  }

  <T> T read(JsonNode node, Class<T> type) {
    return read(node, Json.MAPPER.constructType(type));
  }

  InvalidResponseException invalid(String why, Throwable cause) {
    return new InvalidResponseException(
        status,
        "the answer "
            + why
            + " ("
            + told()
            + "). Is the base URL the API's, and does a proxy stand before it?",
        cause);
  }

  /** Status, content type and the beginning of the body: what tells a proxy's page. */
  String told() {
    String begins = text().strip().replaceAll("\\s+", " ");
    String media = header("Content-Type").orElse("no content type");
    return "status " + status + ", " + media + ": " + (begins.length() > TOLD ? begins.substring(0, TOLD) : begins);
  }
}
