package com.aiagents.sdk.internal;

import java.time.DateTimeException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/** When a call is tried again, and after how long. */
final class Retries {
  /** What a server may ask to wait; beyond it the error is the caller's to handle. */
  static final Duration LONGEST_WAIT = Duration.ofSeconds(60);

  /** All tries and waits of one call, however many retries it has. */
  static final Duration ALL = Duration.ofMinutes(10);

  private static final Set<Integer> STATUSES = Set.of(408, 429, 500, 502, 503, 504);
  private static final long FIRST_MS = 500;
  private static final long LONGEST_MS = 8_000;

  private Retries() {}

  static boolean worthwhile(int status, String code) {
    return STATUSES.contains(status) || status == 409 && "IDEMPOTENCY_IN_PROGRESS".equals(code);
  }

  /** 0.5 s, doubled each time up to 8 s; up to a quarter less, so that clients that failed together do not return together. */
  static Duration backoff(int tries) {
    long most = Math.min(LONGEST_MS, FIRST_MS << Math.min(tries - 1, 10));
    return Duration.ofMillis(most - ThreadLocalRandom.current().nextLong(most / 4 + 1));
  }

  /** Seconds or a date; a date is compared with the server's clock, where it tells it. */
  static Duration after(Answer answer) {
    Optional<String> asked = answer.header("Retry-After").map(String::strip);
    if (asked.isEmpty()) {
      return null;
    }
    if (asked.get().matches("\\d{1,9}")) {
      return Duration.ofSeconds(Long.parseLong(asked.get()));
    }
    Instant now = answer.header("Date").map(Retries::date).orElse(Instant.now());
    Instant then = date(asked.get());
    return then == null ? null : then.isBefore(now) ? Duration.ZERO : Duration.between(now, then);
  }

  private static Instant date(String text) {
    try {
      return ZonedDateTime.parse(text, DateTimeFormatter.RFC_1123_DATE_TIME).toInstant();
    } catch (DateTimeException wrong) {
      return null;
    }
  }
}
