package com.aiagents.sdk;

import com.fasterxml.jackson.annotation.JsonValue;
import java.util.Objects;

/**
 * A text of which the API knows a few values, and a newer API knows more. Compare it with {@code equals}, or switch over
 * {@code known()}.
 */
public abstract class OpenEnum {
  private final String value;

  /** For the generated enums. */
  protected OpenEnum(String value) {
    this.value = Objects.requireNonNull(value);
  }

  /** As the API spells it. */
  @JsonValue
  public final String value() {
    return value;
  }

  @Override
  public final boolean equals(Object other) {
    return other instanceof OpenEnum one
        && one.getClass() == getClass()
        && one.value.equals(value);
  }

  @Override
  public final int hashCode() {
    return value.hashCode();
  }

  @Override
  public final String toString() {
    return value;
  }
}
