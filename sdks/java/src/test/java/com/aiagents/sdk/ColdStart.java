package com.aiagents.sdk;

import com.aiagents.sdk.internal.Json;
import com.aiagents.sdk.models.Deployment;
import java.lang.management.ManagementFactory;

/** How long it takes from the JVM's start until a client is there, and until a first answer has been read. */
public final class ColdStart {
  private ColdStart() {}

  public static void main(String[] arguments) throws Exception {
    long jvm = ManagementFactory.getRuntimeMXBean().getUptime();
    Client client = Client.builder().baseUrl("http://127.0.0.1:1").apiKey("k").build();
    long made = ManagementFactory.getRuntimeMXBean().getUptime();
    Json.MAPPER.readValue("{\"id\": \"d1\", \"status\": \"success\"}", Deployment.class);
    long read = ManagementFactory.getRuntimeMXBean().getUptime();
    System.out.printf("JVM: %d ms; %s made: +%d ms; first model read: +%d ms%n", jvm, client, made - jvm, read - made);
  }
}
