package com.aiagents.sdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.aiagents.sdk.Server.Reply;
import com.aiagents.sdk.errors.NotFoundException;
import com.aiagents.sdk.errors.OperationFailedException;
import com.aiagents.sdk.errors.OperationTimeoutException;
import com.aiagents.sdk.errors.PermissionDeniedException;
import com.aiagents.sdk.models.LogLine;
import com.aiagents.sdk.models.OperationStatus;
import com.aiagents.sdk.params.FeaturesBuildAndDeployParams;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class OperationsTest {
  private static final String ACCEPTED =
      """
      {"success": true, "data": {"operation_id": "op1", "status": "pending", "resource_type": "deployment",
       "resource_id": "d1", "progress_url": "/operations/op1", "poll_interval_seconds": 5}}
      """;

  private final Server server = new Server();

  @AfterEach
  void close() {
    server.close();
  }

  private static String state(int version, String status, int percent) {
    return """
        {"operation_id": "op1", "status": "%s", "done": %s, "progress_percent": %d, "version": %d, "steps": [
         {"name": "build", "status": "%s"}], "resource_id": "d1", "error": %s}
        """
        .formatted(
            status,
            List.of("completed", "failed", "cancelled").contains(status),
            percent,
            version,
            status,
            status.equals("failed") ? "{\"code\": \"BUILD_FAILED\", \"message\": \"make ended with 2\"}" : "null")
        .replace("\n", "");
  }

  private static String event(int version, String status, int percent) {
    return "id: " + version + "\nevent: progress\ndata: " + state(version, status, percent) + "\n\n";
  }

  private OperationHandle begun() {
    server.on("POST /v1/features/f1/build-and-deploy", Reply.json(202, ACCEPTED));
    return server.client().features().buildAndDeploy(
        FeaturesBuildAndDeployParams.builder().featureId("f1").versionTag("1.2.0").environment("staging").build());
  }

  @Test
  void itIsFollowedAndTakenUpAgainAfterTheLastEvent() {
    server.on(
        "GET /v1/operations/op1/events",
        Reply.events(": hello\n\n" + event(1, "in_progress", 10) + "id: 9\nevent: progress\ndata: {\"cut"),
        Reply.events(event(2, "in_progress", 60) + "event: from_the_future\ndata: 1\n\n" + event(3, "completed", 100)));
    server.on("GET /v1/deployments/d1", Reply.data("{\"id\": \"d1\", \"status\": \"success\"}"));
    OperationHandle handle = begun();
    assertEquals("op1", handle.id());
    assertEquals(OperationStatus.PENDING, handle.status());
    List<Integer> progress = new ArrayList<>();
    handle.await(Duration.ofMinutes(2), operation -> progress.add(operation.progressPercent()));
    assertEquals(List.of(10, 60, 100), progress);
    assertEquals("1", server.asked().get(2).headers().get("last-event-id"));
    assertEquals("success", handle.result().status().value());
  }

  @Test
  void withoutEventsItIsAskedFor() {
    server.on("GET /v1/operations/op1/events", Reply.json(406, "{}"));
    server.on(
        "GET /v1/operations/op1",
        Reply.data(state(1, "in_progress", 10)),
        Reply.data(state(1, "in_progress", 10)),
        Reply.data(state(2, "completed", 100)));
    List<Integer> progress = new ArrayList<>();
    begun().pollInterval(Duration.ofMillis(20)).await(Duration.ofMinutes(2), one -> progress.add(one.progressPercent()));
    assertEquals(List.of(10, 100), progress);
  }

  @Test
  void whatFailedSaysWhyAndInWhichStep() {
    server.on("GET /v1/operations/op1/events", Reply.events(event(2, "failed", 40)));
    OperationHandle handle = begun();
    OperationFailedException failed = assertThrows(OperationFailedException.class, handle::result);
    assertEquals("BUILD_FAILED", failed.code().orElseThrow());
    assertEquals("failed", failed.steps().get(0).status().value());
    assertEquals("op1", failed.operationId());
    assertTrue(failed.getMessage().contains("make ended with 2"), failed.getMessage());
  }

  @Test
  void whoWaitsTooShortIsToldHowToGoOn() {
    server.on("GET /v1/operations/op1/events", Reply.json(406, "{}"));
    server.on("GET /v1/operations/op1", Reply.data(state(1, "in_progress", 10)));
    OperationHandle handle = begun().pollInterval(Duration.ofMillis(20));
    OperationTimeoutException late =
        assertThrows(OperationTimeoutException.class, () -> handle.await(Duration.ofMillis(200)));
    assertEquals("op1", late.operationId());
    assertTrue(late.getMessage().contains("resume"), late.getMessage());
  }

  @Test
  void anotherProcessGoesOnByItsId() {
    server.on("GET /v1/operations/op1", Reply.data(state(3, "completed", 100)));
    server.on("GET /v1/deployments/d1", Reply.data("{\"id\": \"d1\"}"));
    OperationHandle handle = server.client().operations().resume("op1");
    assertTrue(handle.done());
    assertEquals("d1", handle.result().id());
    assertThrows(NotFoundException.class, () -> server.client().operations().resume("op2"));
  }

  @Test
  void whoseAccessEndsIsToldSo() {
    String closed = "event: closed\ndata: {\"code\": \"AUTHORIZATION_DENIED\", \"message\": \"the key was revoked\"}\n\n";
    server.on("GET /v1/operations/op1/events", Reply.events(event(1, "in_progress", 10) + closed));
    OperationHandle handle = begun();
    PermissionDeniedException denied = assertThrows(PermissionDeniedException.class, handle::await);
    assertTrue(denied.getMessage().contains("the key was revoked"), denied.getMessage());
  }

  @Test
  void aLogIsFollowedLineByLine() {
    server.on(
        "GET /v1/builds/b1/logs",
        Reply.events("id: 1\nevent: log\ndata: {\"lines\": [{\"step\": \"build\", \"text\": \"one\"}, {\"text\": \"two\"}]}\n\n"),
        Reply.events("id: 2\nevent: log\ndata: {\"lines\": [{\"text\": \"three\"}]}\n\nevent: end\ndata: {}\n\n"));
    try (Stream<LogLine> lines = server.client().builds().followLogs("b1").stream()) {
      assertEquals(List.of("one", "two", "three"), lines.map(LogLine::text).toList());
    }
    assertEquals("follow=true", server.asked().get(0).query());
    assertEquals("1", server.asked().get(1).headers().get("last-event-id"));
  }
}
