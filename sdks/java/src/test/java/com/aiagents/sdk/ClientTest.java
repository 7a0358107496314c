package com.aiagents.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.aiagents.sdk.Server.Reply;
import com.aiagents.sdk.errors.AuthenticationException;
import com.aiagents.sdk.internal.Version;
import com.aiagents.sdk.models.IssuedApiKey;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ClientTest {
  private static final String ME = "{\"user\": null}";

  private final Server server = new Server();

  @AfterEach
  void close() {
    server.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "/", "/v1", "/v1/", "/v1//"})
  void addressesAreTakenAsPeopleWriteThem(String end) {
    server.on("GET /v1/projects/p1", Reply.data("{}"));
    Client.builder().baseUrl(server.url() + end).apiKey("k").build().projects().get("p1");
    assertEquals("/v1/projects/p1", server.asked().get(0).path());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "delivery.example.com", "ftp://example.com", "http://", "https://me:secret@example.com", "http://a b"})
  void whatIsNoAddressIsRefusedWithoutShowingIt(String address) {
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class,
            () -> Client.builder().environment(name -> null).baseUrl(address).apiKey("k").build());
    assertFalse(error.getMessage().contains("secret@"), error.getMessage());
  }

  @Test
  void theEnvironmentSaysWhatIsNotSaid() {
    server.on("GET /v1/projects/p1", Reply.data("{}"));
    Map<String, String> environment = Map.of("AI_AGENTS_BASE_URL", server.url(), "AI_AGENTS_API_KEY", "sk-live_env\n");
    Client.builder().environment(environment::get).build().projects().get("p1");
    assertEquals("sk-live_env", server.asked().get(0).headers().get("x-api-key"));
    assertThrows(IllegalArgumentException.class, () -> Client.builder().environment(name -> null).build());
    IllegalArgumentException nobody =
        assertThrows(
            IllegalArgumentException.class,
            () -> Client.builder().environment(name -> null).baseUrl(server.url()).build());
    assertTrue(nobody.getMessage().contains("AI_AGENTS_API_KEY"), nobody.getMessage());
  }

  @Test
  void twoWaysToSayWhoOneIsAreOneTooMany() {
    assertThrows(
        IllegalArgumentException.class,
        () -> Client.builder().baseUrl(server.url()).apiKey("k").token("t").build());
  }

  @Test
  void callsOfOneClientFetchOneToken() {
    server.on("GET /v1/projects/p1", Reply.data("{}"));
    server.on("POST /oauth/token", Reply.json(200, "{\"access_token\": \"t1\", \"expires_in\": 3600}"));
    Client client = Client.builder().baseUrl(server.url()).clientCredentials("me", "s:cret").scope("projects:read").build();
    var params = com.aiagents.sdk.params.ProjectsGetParams.builder().projectId("p1").build();
    List<CompletableFuture<?>> all =
        IntStream.range(0, 8).<CompletableFuture<?>>mapToObj(one -> client.projects().getAsync(params)).toList();
    all.forEach(CompletableFuture::join);
    List<Server.Asked> tokens = server.asked().stream().filter(one -> one.path().equals("/oauth/token")).toList();
    assertEquals(1, tokens.size());
    assertEquals("grant_type=client_credentials&scope=projects%3Aread", tokens.get(0).body());
    assertEquals("Basic bWU6cyUzQWNyZXQ=", tokens.get(0).headers().get("authorization"));
  }

  @Test
  void aRefusedTokenIsRenewedOnce() {
    server.on("GET /v1/projects/p1", Reply.error(401, "AUTHENTICATION_FAILED"), Reply.data("{}"));
    server.on(
        "POST /oauth/token",
        Reply.json(200, "{\"access_token\": \"t1\", \"expires_in\": 3600, \"refresh_token\": \"r2\"}"),
        Reply.json(200, "{\"access_token\": \"t2\", \"expires_in\": 3600, \"refresh_token\": \"r3\"}"));
    List<String> kept = new java.util.concurrent.CopyOnWriteArrayList<>();
    Client client = Client.builder().baseUrl(server.url()).refreshToken("app", "r1", kept::add).build();
    client.projects().get("p1");
    assertEquals("Bearer t2", server.asked().get(3).headers().get("authorization"));
    assertEquals("grant_type=refresh_token&refresh_token=r2&client_id=app", server.asked().get(2).body());
    assertEquals(List.of("r2", "r3"), kept);
  }

  @Test
  void aClientThatIsNotKnownIsToldWhy() {
    server.on("POST /oauth/token", Reply.json(401, "{\"error\": \"invalid_client\", \"error_description\": \"no such client\"}"));
    Client client = Client.builder().baseUrl(server.url()).clientCredentials("me", "secret").build();
    AuthenticationException error = assertThrows(AuthenticationException.class, () -> client.projects().get("p1"));
    assertTrue(error.getMessage().contains("no such client"), error.getMessage());
    assertFalse(error.getMessage().contains("secret ") || error.toString().contains("s:cret"));
  }

  @Test
  void nothingShowsSecrets() {
    server.on("GET /v1/users/me", Reply.data(ME));
    Client client = Client.builder().baseUrl(server.url()).apiKey("sk-live_secret").header("X-Mine", "hidden").build();
    assertFalse((client + "" + Client.builder().apiKey("sk-live_secret")).contains("secret"));
    assertFalse(client.toString().contains("hidden"));
    IllegalArgumentException error =
        assertThrows(
            IllegalArgumentException.class, () -> Client.builder().baseUrl(server.url()).apiKey("sk live").build());
    assertFalse(error.getMessage().contains("sk live"));
    IssuedApiKey issued = IssuedApiKey.builder().name("ci").key("sk-live_secret").build();
    assertFalse(issued.toString().contains("sk-live_secret"));
    assertTrue(issued.toJson().contains("sk-live_secret"));
    RequestOptions bad = RequestOptions.builder().header("X-Bad", "sk-live_secret\n").build();
    IllegalArgumentException header =
        assertThrows(
            IllegalArgumentException.class,
            () -> client.users().me(com.aiagents.sdk.params.UsersMeParams.builder().build(), bad));
    assertFalse(header.getMessage().contains("secret"));
  }

  @Test
  void theVersionIsThePoms() throws IOException {
    assertTrue(Files.readString(Path.of("pom.xml")).contains("<version>" + Version.CURRENT + "</version>"));
    assertTrue(Files.readString(Path.of("CHANGELOG.md")).contains("## " + Version.CURRENT));
  }
}
