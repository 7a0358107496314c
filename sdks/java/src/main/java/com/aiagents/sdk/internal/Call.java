package com.aiagents.sdk.internal;

import com.aiagents.sdk.Params;
import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.models.EnvironmentName;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One call of the API, whatever it takes to get its answer.
 *
 * @param method as the SDK calls it: {@code projects.get}
 * @param verb the HTTP method
 * @param template the path below {@code /v1}, its parameters in braces
 * @param accept the media type that is asked for
 * @param bodied whether there is a body
 */
public record Call(
    String method,
    String verb,
    String template,
    String accept,
    Map<String, String> path,
    Map<String, Object> query,
    Map<String, String> headers,
    Map<String, Object> body,
    boolean bodied,
    RequestOptions options) {
  static final String JSON = "application/json";

  public static Call of(String method, String verb, String template, Params params, RequestOptions options) {
    return new Call(
        method,
        verb,
        template,
        JSON,
        params.pathValues(),
        params.queryValues(),
        params.headerValues(),
        params.bodyValues(),
        !params.bodyValues().isEmpty(),
        options);
  }

  static Call get(String method, String template, Map<String, String> path, RequestOptions options) {
    return new Call(method, "GET", template, JSON, path, Map.of(), Map.of(), Map.of(), false, options);
  }

  /** A body even if no field of it is given. */
  public Call bodily() {
    return new Call(method, verb, template, accept, path, query, headers, body, true, options);
  }

  /** With a field of the body that the API requires, unless it is given. */
  public Call assuming(String name, Object value) {
    if (body.containsKey(name)) {
      return this;
    }
    Map<String, Object> fields = new LinkedHashMap<>(body);
    fields.put(name, value);
    return new Call(method, verb, template, accept, path, query, headers, fields, bodied, options);
  }

  /** Without notes others are asked to approve production: the API refuses it otherwise. */
  public Call askingForApproval() {
    boolean silent = !body.containsKey("approval_notes") && !body.containsKey("request_approval");
    boolean production = EnvironmentName.PRODUCTION.equals(body.get("environment"));
    return production && silent ? assuming("request_approval", true) : this;
  }

  public Call accepting(String media) {
    return new Call(method, verb, template, media, path, query, headers, body, bodied, options);
  }

  Call asking(Map<String, Object> other) {
    return new Call(method, verb, template, accept, path, other, headers, body, bodied, options);
  }

  Call with(Map<String, String> other) {
    return new Call(method, verb, template, accept, path, query, other, body, bodied, options);
  }

  Call with(RequestOptions other) {
    return new Call(method, verb, template, accept, path, query, headers, body, bodied, other);
  }

  /** Whether the API carries it out once for each key. */
  boolean takesKey() {
    return verb.equals("POST") || verb.equals("PATCH");
  }

  /** Without values, which may be secrets. */
  @Override
  public String toString() {
    return method;
  }
}
