package com.aiagents.sdk;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The arguments of a method: those of its path, its query, its headers and its body. */
public abstract class Params {
  private final Map<String, String> path;
  private final Map<String, Object> query;
  private final Map<String, String> headers;
  private final Map<String, Object> body;

  /** For the generated parameters. */
  protected Params(Builder<?> builder) {
    path = Collections.unmodifiableMap(new LinkedHashMap<>(builder.path));
    query = Collections.unmodifiableMap(new LinkedHashMap<>(builder.query));
    headers = Collections.unmodifiableMap(new LinkedHashMap<>(builder.headers));
    body = Collections.unmodifiableMap(new LinkedHashMap<>(builder.body));
  }

  /** Parameters of the path by the API's names. */
  public final Map<String, String> pathValues() {
    return path;
  }

  /** Parameters of the query by the API's names. */
  public final Map<String, Object> queryValues() {
    return query;
  }

  /** Headers of this call alone, as {@code If-Match}. */
  public final Map<String, String> headerValues() {
    return headers;
  }

  /** Fields of the body by the API's names; null is sent as null. */
  public final Map<String, Object> bodyValues() {
    return body;
  }

  /** Which arguments are given, without their values: they may be secrets. */
  @Override
  public final String toString() {
    List<String> names = new ArrayList<>(path.keySet());
    names.addAll(query.keySet());
    names.addAll(headers.keySet());
    names.addAll(body.keySet());
    return getClass().getSimpleName() + names;
  }

  /**
   * Gathers arguments.
   *
   * @param <B> the builder itself
   */
  public abstract static class Builder<B extends Builder<B>> {
    private final Map<String, String> path = new LinkedHashMap<>();
    private final Map<String, Object> query = new LinkedHashMap<>();
    private final Map<String, String> headers = new LinkedHashMap<>();
    private final Map<String, Object> body = new LinkedHashMap<>();

    /** For the generated builders. */
    protected Builder() {}

    /** A field of the body that this version does not know. */
    public B additionalBody(String name, Object value) {
      return inBody(name, value);
    }

    /** A parameter of the query that this version does not know. */
    public B additionalQuery(String name, Object value) {
      return inQuery(name, value);
    }

    /** Puts a parameter of the path. */
    protected final B inPath(String name, Object value) {
      path.put(name, value == null ? null : value.toString());
      return self();
    }

    /** Puts a parameter of the query; null takes it away. */
    protected final B inQuery(String name, Object value) {
      return put(query, name, value);
    }

    /** Puts a header; null takes it away. */
    protected final B inHeader(String name, String value) {
      return put(headers, name, value);
    }

    /** Puts a field of the body; null is sent as null. */
    protected final B inBody(String name, Object value) {
      body.put(name, value instanceof List<?> list ? Collections.unmodifiableList(new ArrayList<>(list)) : value);
      return self();
    }

    /**
     * Refuses arguments that no server need see.
     *
     * @throws IllegalArgumentException one is missing, or a part of the path is empty, {@code .} or {@code ..}
     */
    protected final void require(String method, String... names) {
      for (String name : names) {
        if (!path.containsKey(name) && !query.containsKey(name) && !body.containsKey(name)) {
          throw new IllegalArgumentException(method + ": " + name + " is missing");
        }
      }
      path.forEach(
          (name, value) -> {
            if (value == null || value.isBlank() || value.equals(".") || value.equals("..")) {
              throw new IllegalArgumentException(method + ": " + name + " must not be empty, '.' or '..'");
            }
          });
    }

    private <V> B put(Map<String, V> map, String name, V value) {
      if (value == null) {
        map.remove(name);
      } else {
        map.put(name, value);
      }
      return self();
    }

    @SuppressWarnings("unchecked") // B is the builder's own class
    private B self() {
      return (B) this;
    }
  }
}
