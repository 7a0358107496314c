package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.InvalidResponseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayDeque;
import java.util.Deque;

/** A log while it is written: events {@code log} with lines, then {@code end}. */
final class LogEvents<T> implements Source<T> {
  private final EventSource events;
  private final Class<T> type;
  private final Deque<T> lines = new ArrayDeque<>();
  private boolean over;

  LogEvents(EventSource events, Class<T> type) {
    this.events = events;
    this.type = type;
  }

  @Override
  public T next() {
    while (lines.isEmpty() && !over) {
      EventSource.Event event = events.next();
      switch (event == null ? "end" : event.name()) {
        case "log" -> event.data().path("lines").forEach(line -> lines.add(read(line, type)));
        case "end" -> close();
        case "closed" -> {
          close();
          throw Errors.told(event.data());
        }
        default -> {
          // A newer server's.
        }
      }
    }
    return lines.poll();
  }

  static <T> T read(JsonNode node, Class<T> type) {
    try {
      return Json.MAPPER.treeToValue(node, type);
    } catch (JsonProcessingException wrong) {
      throw new InvalidResponseException(200, "an event does not read as " + type.getSimpleName(), null);
    }
  }

  @Override
  public void close() {
    over = true;
    events.close();
  }
}
