package com.aiagents.sdk;

import com.aiagents.sdk.internal.Json;
import com.fasterxml.jackson.annotation.JsonAnyGetter;
import com.fasterxml.jackson.annotation.JsonAnySetter;
import com.fasterxml.jackson.annotation.JsonAutoDetect;
import com.fasterxml.jackson.annotation.JsonAutoDetect.Visibility;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What all models have in common: they do not change, are equal if their JSON is, and keep the fields that this version
 * of the SDK does not know.
 */
@JsonAutoDetect(
    fieldVisibility = Visibility.NONE,
    getterVisibility = Visibility.NONE,
    isGetterVisibility = Visibility.NONE)
public abstract class Model {
  private final Map<String, Object> additionalProperties;

  /** For the generated models. */
  protected Model(Builder<?> builder) {
    additionalProperties =
        Collections.unmodifiableMap(new LinkedHashMap<>(builder.additionalProperties));
  }

  /** Fields that this version does not know, as Jackson reads them. */
  @JsonAnyGetter
  public final Map<String, Object> additionalProperties() {
    return additionalProperties;
  }

  /** Its JSON. Secrets are in it. */
  public final String toJson() {
    return Json.text(this);
  }

  @Override
  public final boolean equals(Object other) {
    return other != null
        && other.getClass() == getClass()
        && Json.tree(this).equals(Json.tree(other));
  }

  @Override
  public final int hashCode() {
    return Json.tree(this).hashCode();
  }

  /** Its JSON for a log: keys, tokens and other secrets are {@code ***}. */
  @Override
  public final String toString() {
    return getClass().getSimpleName() + Json.withoutSecrets(Json.tree(this));
  }

  /**
   * Makes a model.
   *
   * @param <B> the builder itself
   */
  @JsonAutoDetect(
      fieldVisibility = Visibility.NONE,
      setterVisibility = Visibility.NONE,
      creatorVisibility = Visibility.NONE)
  public abstract static class Builder<B extends Builder<B>> {
    private final Map<String, Object> additionalProperties = new LinkedHashMap<>();

    /** For the generated builders. */
    protected Builder() {}

    /** A field that this version does not know. */
    @JsonAnySetter
    @SuppressWarnings("unchecked") // B is the builder's own class
    public B additionalProperty(String name, Object value) {
      additionalProperties.put(name, value);
      return (B) this;
    }
  }
}
