package com.aiagents.sdk.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.aiagents.sdk.Client;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ExamplesTest {
  private static final Map<String, String> ANSWERS =
      Map.of(
          "GET /v1/organizations/org-uuid-1/projects",
              "200 {\"data\": [{\"id\": \"p1\", \"name\": \"Shop\"}], \"pagination\": {\"has_next\": false, \"total\": 1}}",
          "POST /v1/organizations/org-uuid-1/projects",
              "409 {\"error\": {\"code\": \"DUPLICATE_SLUG\", \"message\": \"taken\"}}",
          "POST /v1/projects/p1/requirements", "201 {\"data\": {\"id\": \"r1\", \"title\": \"New Feature\"}}",
          "POST /v1/features/feat-uuid-1/builds", "201 {\"data\": {\"id\": \"b1\"}}",
          "POST /v1/builds/b1/deploy", "201 {\"data\": {\"id\": \"d1\", \"status\": \"pending\"}}",
          "POST /v1/features/feat-uuid-1/build-and-deploy",
              "202 {\"data\": {\"operation_id\": \"op1\", \"status\": \"pending\", \"resource_id\": \"d1\"}}",
          "GET /v1/operations/op1",
              "200 {\"data\": {\"operation_id\": \"op1\", \"status\": \"completed\", \"done\": true, \"progress_percent\": 100,"
                  + " \"version\": 7, \"resource_id\": \"d1\"}}",
          "GET /v1/deployments/d1", "200 {\"data\": {\"id\": \"d1\", \"status\": \"success\"}}");

  private HttpServer server;

  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/",
        exchange -> {
          String asked = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
          String told = ANSWERS.getOrDefault(asked, "404 {\"error\": {\"code\": \"RESOURCE_NOT_FOUND\", \"message\": \"?\"}}");
          byte[] body = told.substring(4).getBytes(StandardCharsets.UTF_8);
          exchange.getRequestBody().readAllBytes();
          exchange.getResponseHeaders().set("Content-Type", "application/json");
          exchange.sendResponseHeaders(Integer.parseInt(told.substring(0, 3)), body.length);
          exchange.getResponseBody().write(body);
          exchange.close();
        });
    server.start();
  }

  @AfterEach
  void stop() {
    server.stop(0);
  }

  private String address() {
    return "http://127.0.0.1:" + server.getAddress().getPort();
  }

  private Client client() {
    return Client.builder().baseUrl(address()).apiKey("sk-live_key").build();
  }

  @Test
  void theContractsExample() {
    assertEquals("d1", Examples.firstCall(address(), "sk-live_key").id());
  }

  @Test
  void theOthers() {
    assertEquals("take another slug", Examples.errors(client()));
    assertEquals(2, Examples.pages(client()));
    assertEquals("success", Examples.operations(client()));
    Examples.options(client());
  }

  @Test
  void aWebhook() throws Exception {
    byte[] body =
        "{\"event\": \"deployment.completed\", \"data\": {\"deployment\": {\"id\": \"d1\", \"status\": \"failed\"}}}"
            .getBytes(StandardCharsets.UTF_8);
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec("whsec_AAAA".getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
    String signature = "sha256=" + HexFormat.of().formatHex(mac.doFinal(body));
    assertEquals("failed", Examples.webhooks(body, Map.of("X-Signature-256", signature), "whsec_AAAA"));
  }

  @Test
  void whatTheReadmeShowsIsRun() throws IOException {
    String source = packed(Files.readString(Path.of("src/test/java/com/aiagents/sdk/examples/Examples.java")));
    Matcher blocks = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL).matcher(Files.readString(Path.of("README.md")));
    int found = 0;
    for (; blocks.find(); found++) {
      assertTrue(source.contains(packed(blocks.group(1))), "not in Examples.java: " + blocks.group(1));
    }
    assertTrue(found >= 6, "README.md shows " + found);
  }

  private static String packed(String text) {
    return text.replaceAll("\\s+", "");
  }
}
