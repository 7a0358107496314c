package com.aiagents.sdk.internal;

/** Which SDK this is; a test compares it with pom.xml. */
public final class Version {
  public static final String CURRENT = "0.1.0";
  static final String USER_AGENT =
      "ai-agents-sdk-java/" + CURRENT + " java/" + Runtime.version().feature();

  private Version() {}
}
