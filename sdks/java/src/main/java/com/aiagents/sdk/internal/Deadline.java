package com.aiagents.sdk.internal;

import java.time.Duration;

/** Until when something is waited for. */
public final class Deadline {
  private final long end;

  private Deadline(long end) {
    this.end = end;
  }

  public static Deadline in(Duration duration) {
    return new Deadline(System.nanoTime() + Math.min(duration.toNanos(), Long.MAX_VALUE / 4));
  }

  /** As good as never: a year. */
  static Deadline none() {
    return in(Duration.ofDays(365));
  }

  /** Never negative. */
  public Duration left() {
    return Duration.ofNanos(Math.max(0, end - System.nanoTime()));
  }

  public boolean over() {
    return left().isZero();
  }

  /** The shorter one of what is left and {@code other}; at least a millisecond. */
  public Duration atMost(Duration other) {
    Duration shorter = left().compareTo(other) < 0 ? left() : other;
    return shorter.toMillis() == 0 ? Duration.ofMillis(1) : shorter;
  }
}
