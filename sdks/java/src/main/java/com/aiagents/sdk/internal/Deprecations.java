package com.aiagents.sdk.internal;

import java.lang.System.Logger.Level;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Says once for each method that it will go away. */
final class Deprecations {
  private static final System.Logger LOG = System.getLogger("com.aiagents.sdk.deprecation");
  private static final Set<String> TOLD = ConcurrentHashMap.newKeySet();

  private Deprecations() {}

  static void tell(String method, Answer answer) {
    String since = answer.header("Deprecation").orElse(null);
    if (since == null || since.equalsIgnoreCase("false") || !TOLD.add(method)) {
      return;
    }
    String end = answer.header("Sunset").map(date -> ", and ends on " + date).orElse("");
    String more = answer.header("Link").map(link -> ": " + link).orElse("");
    LOG.log(Level.WARNING, method + " is deprecated" + day(since) + end + more);
  }

  /** RFC 9745 has seconds since 1970 after an {@code @}. */
  private static String day(String since) {
    if (since.matches("@\\d{1,12}")) {
      return " since " + Instant.ofEpochSecond(Long.parseLong(since.substring(1))).toString().substring(0, 10);
    }
    return since.equalsIgnoreCase("true") ? "" : " since " + since;
  }
}
