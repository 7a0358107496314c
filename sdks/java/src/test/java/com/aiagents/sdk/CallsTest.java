package com.aiagents.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.aiagents.sdk.Server.Reply;
import com.aiagents.sdk.errors.APIConnectionException;
import com.aiagents.sdk.errors.APITimeoutException;
import com.aiagents.sdk.errors.DuplicateSlugException;
import com.aiagents.sdk.errors.ConflictException;
import com.aiagents.sdk.errors.InternalServerException;
import com.aiagents.sdk.errors.InvalidResponseException;
import com.aiagents.sdk.errors.NotFoundException;
import com.aiagents.sdk.errors.RateLimitException;
import com.aiagents.sdk.errors.ValidationException;
import com.aiagents.sdk.models.Project;
import com.aiagents.sdk.models.ProjectStatus;
import com.aiagents.sdk.params.ProjectsCreateParams;
import com.aiagents.sdk.params.ProjectsListParams;
import com.aiagents.sdk.params.ProjectsUpdateParams;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class CallsTest {
  private static final String SHOP = "{\"id\": \"p1\", \"name\": \"Shop\", \"status\": \"resting\", \"colour\": \"red\"}";

  private final Server server = new Server();

  @AfterEach
  void close() {
    server.close();
  }

  private ProjectsCreateParams shop() {
    return ProjectsCreateParams.builder()
        .orgId("o1")
        .name("Shop")
        .slug("shop")
        .repositoryUrl("https://example.com/shop.git")
        .build();
  }

  @Test
  void unknownFieldsAndValuesAreKept() {
    server.on("GET /v1/projects/p1", Reply.data(SHOP));
    Project project = server.client().projects().get("p1");
    assertEquals("Shop", project.name());
    assertEquals(ProjectStatus.of("resting"), project.status());
    assertEquals(ProjectStatus.Known._UNKNOWN, project.status().known());
    assertEquals("red", project.additionalProperties().get("colour"));
    assertEquals("sk-live_key", server.asked().get(0).headers().get("x-api-key"));
  }

  @Test
  void partsOfThePathAreEncodedAndEmptyOnesRefused() {
    server.on("GET /v1/projects/a%2Fb%20%C3%A4", Reply.data(SHOP));
    assertEquals("Shop", server.client().projects().get("a/b ä").name());
    for (String wrong : new String[] {"", " ", ".", "..", null}) {
      assertThrows(IllegalArgumentException.class, () -> server.client().projects().get(wrong));
    }
    assertEquals(1, server.asked().size());
  }

  @Test
  void aFieldIsLeftOutOrNullAsItIsGiven() {
    server.on("PATCH /v1/projects/p1", Reply.data(SHOP));
    server.client().projects().update(
        ProjectsUpdateParams.builder().projectId("p1").description(null).status("archived").ifMatch("\"tag\"").build());
    assertEquals("{\"description\":null,\"status\":\"archived\"}", server.asked().get(0).body());
    assertEquals("\"tag\"", server.asked().get(0).headers().get("if-match"));
  }

  @Test
  void whatIsRequiredIsAskedForBeforeAnythingIsSent() {
    IllegalArgumentException missing =
        assertThrows(IllegalArgumentException.class, () -> ProjectsCreateParams.builder().orgId("o1").build());
    assertTrue(missing.getMessage().contains("name"), missing.getMessage());
  }

  @Test
  void itIsTriedAgainWithTheSameKey() {
    server.on(
        "POST /v1/organizations/o1/projects",
        Reply.error(429, "RATE_LIMIT_EXCEEDED").with("Retry-After", "0"),
        Reply.error(409, "IDEMPOTENCY_IN_PROGRESS").with("Retry-After", "0"),
        Reply.data(SHOP));
    assertEquals("Shop", server.client().projects().create(shop()).name());
    List<String> keys = server.asked().stream().map(one -> one.headers().get("idempotency-key")).distinct().toList();
    assertEquals(3, server.asked().size());
    assertEquals(1, keys.size());
    assertTrue(keys.get(0).length() > 30);
  }

  @Test
  void anHourIsNotWaitedFor() {
    server.on("GET /v1/projects/p1", Reply.error(429, "RATE_LIMIT_EXCEEDED").with("Retry-After", "3600"));
    RateLimitException error =
        assertThrows(RateLimitException.class, () -> server.client().projects().get("p1"));
    assertEquals(Duration.ofHours(1), error.retryAfter().orElseThrow());
    assertTrue(error.getMessage().contains("Try again in 3600 s"), error.getMessage());
    assertEquals(1, server.asked().size());
  }

  @Test
  void aDateToWaitForIsComparedWithTheServersClock() {
    server.on(
        "GET /v1/projects/p1",
        Reply.error(503, "SERVICE_UNAVAILABLE")
            .with("Retry-After", "Thu, 01 Jan 2026 02:00:00 GMT")
            .with("Date", "Thu, 01 Jan 2026 00:00:00 GMT"));
    InternalServerException error =
        assertThrows(InternalServerException.class, () -> server.client().projects().get("p1"));
    // com.sun.net.httpserver says its own Date; it is long after, so that there is nothing to wait for.
    assertTrue(error.retryAfter().orElseThrow().compareTo(Duration.ofHours(2)) <= 0);
  }

  @Test
  void conflictsAreNotTriedAgain() {
    server.on("POST /v1/organizations/o1/projects", Reply.error(409, "DUPLICATE_SLUG"));
    ConflictException error =
        assertThrows(DuplicateSlugException.class, () -> server.client().projects().create(shop()));
    assertEquals("DUPLICATE_SLUG", error.code().orElseThrow());
    assertEquals(1, server.asked().size());
  }

  @Test
  void detailsSayWhichFieldsAreWrong() {
    server.on(
        "GET /v1/projects/p1",
        Reply.json(
                400,
                """
                {"error": {"code": "VALIDATION_ERROR", "message": "Invalid request parameters",
                 "details": [{"field": "name", "message": "is too short", "pointer": "/name", "code": "too_short"}]}}
                """)
            .with("X-Request-ID", "req-1"));
    ValidationException error =
        assertThrows(ValidationException.class, () -> server.client().projects().get("p1"));
    assertEquals("name", error.details().get(0).field());
    assertEquals("req-1", error.requestId().orElseThrow());
    assertTrue(error.getMessage().contains("name: is too short"), error.getMessage());
    assertTrue(
        List.of(error.getStackTrace()).stream().anyMatch(one -> one.getClassName().equals(getClass().getName())),
        "the stack is the caller's");
  }

  @Test
  void aPageOfAProxyIsToldAsSuch() {
    server.on("GET /v1/projects/p1", new Reply(200, java.util.Map.of("Content-Type", "text/html"), "<html>Log in"));
    InvalidResponseException page =
        assertThrows(InvalidResponseException.class, () -> server.client().projects().get("p1"));
    assertTrue(page.getMessage().contains("200, text/html: <html>Log in"), page.getMessage());
    server.on("GET /v1/projects/p2", new Reply(404, java.util.Map.of("Content-Type", "text/html"), "<html>Nothing"));
    NotFoundException nothing =
        assertThrows(NotFoundException.class, () -> server.client().projects().get("p2"));
    assertTrue(nothing.getMessage().contains("text/html: <html>Nothing"), nothing.getMessage());
    assertTrue(nothing.code().isEmpty());
    server.on("GET /v1/projects/p3", Reply.json(200, "{\"data\": {\"id\":"));
    assertThrows(InvalidResponseException.class, () -> server.client().projects().get("p3"));
    server.on("GET /v1/projects/p4", Reply.json(200, "[]"));
    assertThrows(InvalidResponseException.class, () -> server.client().projects().get("p4"));
  }

  @Test
  void nobodyThereAndNobodyAnswering() {
    Client nobody = Client.builder().baseUrl("http://127.0.0.1:1").apiKey("k").maxRetries(0).build();
    APIConnectionException away = assertThrows(APIConnectionException.class, () -> nobody.projects().get("p1"));
    assertTrue(away.getMessage().contains("AI_AGENTS_BASE_URL"), away.getMessage());
    try (java.net.ServerSocket silent = new java.net.ServerSocket(0)) {
      Client waiting = Client.builder().baseUrl("http://127.0.0.1:" + silent.getLocalPort()).apiKey("k").build();
      RequestOptions options = RequestOptions.builder().timeout(Duration.ofMillis(300)).maxRetries(0).build();
      assertThrows(
          APITimeoutException.class,
          () -> waiting.users().me(com.aiagents.sdk.params.UsersMeParams.builder().build(), options));
    } catch (java.io.IOException failure) {
      throw new java.io.UncheckedIOException(failure);
    }
  }

  @Test
  void thePagesOfAListAreReadAsTheyAreWanted() {
    String page = "{\"data\": [{\"id\": \"%s\"}], \"pagination\": {\"has_next\": %s, \"next_cursor\": %s, \"total\": 3}}";
    server.on(
        "GET /v1/organizations/o1/projects",
        Reply.json(200, page.formatted("a", "true", "\"c1\"")),
        Reply.json(200, page.formatted("b", "true", "\"c2\"")),
        Reply.json(200, page.formatted("c", "false", "null")));
    Page<Project> first =
        server.client().projects().list(ProjectsListParams.builder().orgId("o1").pageSize(1).build());
    assertEquals(3, first.total().orElseThrow());
    assertTrue(first.hasNextPage());
    assertEquals(1, server.asked().size());
    assertEquals(List.of("a", "b", "c"), first.stream().map(Project::id).toList());
    assertEquals("page_size=1&cursor=c2", server.asked().get(2).query());
    assertFalse(first.getNextPage().hasNextPage());
  }

  @Test
  void theFutureFailsWithTheSame() {
    server.on("GET /v1/projects/p1", Reply.data(SHOP));
    Client client = server.client();
    assertEquals("Shop", client.projects().getAsync(project("p1")).join().name());
    CompletionException failure =
        assertThrows(CompletionException.class, () -> client.projects().getAsync(project("p2")).thenApply(one -> one).join());
    assertInstanceOf(NotFoundException.class, failure.getCause());
  }

  private static com.aiagents.sdk.params.ProjectsGetParams project(String id) {
    return com.aiagents.sdk.params.ProjectsGetParams.builder().projectId(id).build();
  }

  @Test
  void rawAnswersHaveHeadersAndWhatWasRead() {
    server.on("GET /v1/projects/p1", Reply.data(SHOP).with("ETag", "\"tag\""));
    RawResponse<Project> raw = server.client().withRawResponse(client -> client.projects().get("p1"));
    assertEquals("\"tag\"", raw.header("ETag").orElseThrow());
    assertEquals("Shop", raw.parsed().name());
    assertTrue(raw.body().contains("colour"));
  }
}
