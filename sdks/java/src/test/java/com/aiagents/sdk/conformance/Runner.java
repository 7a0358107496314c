package com.aiagents.sdk.conformance;

import com.aiagents.sdk.LineStream;
import com.aiagents.sdk.OperationHandle;
import com.aiagents.sdk.Page;
import com.aiagents.sdk.UpdateResult;
import com.aiagents.sdk.internal.Json;
import com.aiagents.sdk.internal.Version;
import com.aiagents.sdk.models.Operation;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Commands on stdin, answers on stdout, one a line: sdks/conformance/PROTOCOL.md. It decides nothing. */
public final class Runner {
  private final Clients clients = new Clients();
  private final Logs logs = new Logs();
  private final Map<String, Page<?>> pages = new HashMap<>();
  private final Map<String, OperationHandle> operations = new HashMap<>();

  private Runner() {}

  public static void main(String[] arguments) throws IOException {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    System.setOut(System.err);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Runner runner = new Runner();
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode command = Json.MAPPER.readTree(line);
      out.println(runner.answered(command));
      if (command.path("do").asText().equals("end")) {
        return;
      }
    }
  }

  private ObjectNode answered(JsonNode command) {
    try {
      return done(command).put("ok", true);
    } catch (Throwable failure) {
      return Failures.told(failure);
    }
  }

  private ObjectNode done(JsonNode command) throws Throwable {
    String name = command.path("do").asText();
    return switch (name) {
      case "hello" -> object().put("language", "java").put("version", Version.CURRENT);
      case "client" -> clients.make(command.path("name").asText(), command.path("options"));
      case "call" -> value(clients.call(command));
      case "next_page" -> value(pages.get(command.path("page").asText()).getNextPage());
      case "iterate" -> values(((Page<?>) clients.call(command)).iterator(), command.path("limit").asInt(1000));
      case "lines" -> lines(command);
      case "raw" -> clients.raw(command);
      case "concurrently" -> concurrently(command.path("calls"));
      case "resume" ->
          value(clients.client(command).operations().resume(command.path("operation_id").asText()));
      case "wait", "result", "cancel", "refresh" -> operation(name, command);
      case "webhook" -> webhook(command);
      case "warnings" -> values(logs.warnings().iterator(), Integer.MAX_VALUE);
      case "logs" -> object().put("value", logs.text());
      case "repr" -> object().put("value", clients.client(command).toString());
      case "end" -> object();
      default -> throw new UnsupportedOperationException("no such command: " + name);
    };
  }

  private synchronized ObjectNode value(Object value) {
    if (value instanceof Page<?> page) {
      String name = "p" + (pages.size() + 1);
      pages.put(name, page);
      ObjectNode told = object();
      told.set("data", Json.tree(page.data()));
      told.put("has_next_page", page.hasNextPage()).put("total", page.total().orElse(null));
      ObjectNode answer = object().put("page", name);
      answer.set("value", told);
      return answer;
    }
    if (value instanceof OperationHandle handle) {
      String name = "o" + (operations.size() + 1);
      operations.put(name, handle);
      return object()
          .put("operation", name)
          .put("operation_id", handle.id())
          .put("status", handle.status().value())
          .put("done", handle.done())
          .put("deployment_id", handle.deploymentId());
    }
    if (value instanceof UpdateResult<?, ?> result) {
      return value(result.applied().isPresent() ? result.applied().get() : result.pending().orElseThrow());
    }
    ObjectNode answer = object();
    answer.set("value", Json.tree(value));
    return answer;
  }

  private ObjectNode lines(JsonNode command) throws Throwable {
    try (LineStream<?> stream = (LineStream<?>) clients.call(command)) {
      return values(stream.iterator(), command.path("limit").asInt(1000));
    }
  }

  private static ObjectNode values(Iterator<?> items, int limit) {
    ArrayNode values = Json.MAPPER.createArrayNode();
    while (values.size() < limit && items.hasNext()) {
      values.add(Json.tree(items.next()));
    }
    ObjectNode answer = object();
    answer.set("values", values);
    return answer;
  }

  private ObjectNode concurrently(JsonNode calls) throws InterruptedException, ExecutionException {
    ExecutorService threads = Executors.newFixedThreadPool(Math.max(1, calls.size()));
    try {
      List<Future<ObjectNode>> running = new ArrayList<>();
      for (JsonNode call : calls) {
        running.add(
            threads.submit(
                () -> {
                  try {
                    return value(clients.call(call)).put("ok", true);
                  } catch (Throwable failure) {
                    return Failures.told(failure);
                  }
                }));
      }
      ArrayNode answers = Json.MAPPER.createArrayNode();
      for (Future<ObjectNode> one : running) {
        answers.add(one.get());
      }
      ObjectNode answer = object();
      answer.set("answers", answers);
      return answer;
    } finally {
      threads.shutdownNow();
    }
  }

  private ObjectNode operation(String name, JsonNode command) {
    OperationHandle handle = operations.get(command.path("operation").asText());
    Duration timeout = command.hasNonNull("timeout") ? seconds(command.get("timeout")) : OperationHandle.LONGEST_WAIT;
    if (command.hasNonNull("poll_interval")) {
      handle.pollInterval(seconds(command.get("poll_interval")));
    }
    if (name.equals("result")) {
      return value(handle.result(timeout));
    }
    ArrayNode progress = Json.MAPPER.createArrayNode();
    Operation seen =
        switch (name) {
          case "wait" -> handle.await(timeout, operation -> progress.add(operation.progressPercent()));
          case "cancel" -> handle.cancel();
          default -> handle.refresh();
        };
    ObjectNode answer = value(seen).put("status", handle.status().value()).put("done", handle.done());
    answer.set("progress", progress);
    return answer;
  }

  private static ObjectNode webhook(JsonNode command) {
    Map<String, String> headers = new HashMap<>();
    command.path("headers").properties().forEach(one -> headers.put(one.getKey(), one.getValue().asText()));
    List<String> secrets = new ArrayList<>();
    command.path("secrets").forEach(one -> secrets.add(one.asText()));
    ObjectNode answer = object();
    answer.set(
        "value",
        com.aiagents.sdk.resources.WebhooksResource.verify(
                command.path("payload").asText().getBytes(StandardCharsets.UTF_8),
                headers,
                secrets,
                command.hasNonNull("tolerance") ? seconds(command.get("tolerance")) : Duration.ofSeconds(300),
                command.hasNonNull("now") ? Instant.ofEpochSecond(command.get("now").asLong()) : Instant.now())
            .json());
    return answer;
  }

  static Duration seconds(JsonNode number) {
    return Duration.ofMillis(Math.round(number.asDouble() * 1000));
  }

  static ObjectNode object() {
    return Json.MAPPER.createObjectNode();
  }
}
