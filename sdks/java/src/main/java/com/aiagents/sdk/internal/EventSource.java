package com.aiagents.sdk.internal;

import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.errors.APIConnectionException;
import com.aiagents.sdk.errors.APITimeoutException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeoutException;

/** Server-sent events of one address. When the stream ends or breaks it is opened again, after the last event. */
public final class EventSource implements AutoCloseable {
  /** The server says something every 15 seconds, be it a comment. */
  private static final Duration SILENCE = Duration.ofSeconds(60);

  private static final Duration WORTHWHILE = Duration.ofSeconds(10);
  private static final String MEDIA = "text/event-stream";

  /** An event: what happened, and its data. */
  public record Event(String name, JsonNode data) {}

  private final Transport transport;
  private final Call call;
  private LineFeed feed;
  private Deadline lived;
  private String lastId;
  private int fruitless;
  private boolean over;

  public EventSource(Transport transport, Call call) {
    this(transport, call, Deadline.none());
  }

  /**
   * Opens the stream.
   *
   * @throws com.aiagents.sdk.errors.AIAgentsException it cannot be; of a content type that is no event stream: {@code
   *     InvalidResponseException}
   */
  public EventSource(Transport transport, Call call, Deadline deadline) {
    this.transport = transport;
    this.call = call.accepting(MEDIA);
    lastId = call.headers().get("Last-Event-ID");
    open(deadline);
  }

  /** The next event, or null if there are no more; waits as long as it takes. */
  public Event next() {
    return next(Deadline.none());
  }

  /**
   * The next event, or null if there are no more.
   *
   * @throws LateException none came in time
   */
  public Event next(Deadline deadline) {
    while (!over) {
      APIConnectionException broken = null;
      try {
        Event event = read(deadline);
        if (event != null) {
          fruitless = 0;
          return event;
        }
      } catch (APIConnectionException failure) {
        broken = failure;
      }
      again(deadline, broken);
    }
    return null;
  }

  private Event read(Deadline deadline) {
    String name = "message";
    String id = null;
    StringBuilder data = new StringBuilder();
    String line = line(deadline);
    for (; line != null; line = line(deadline)) {
      if (line.isEmpty()) {
        // Not before its event is whole: one that was cut off is to come again.
        lastId = id == null ? lastId : id;
        Event event = data.length() > 0 ? event(name, data.toString()) : null;
        if (event != null) {
          return event;
        }
        name = "message";
        data.setLength(0);
      }
      int colon = line.indexOf(':');
      String field = colon < 0 ? line : line.substring(0, colon);
      String value = colon < 0 ? "" : line.substring(colon + 1).replaceFirst("^ ", "");
      switch (field) {
        case "event" -> name = value;
        case "data" -> data.append(data.length() > 0 ? "\n" : "").append(value);
        case "id" -> id = value;
        default -> {
          // A comment, `retry`, or what a newer server says.
        }
      }
    }
    return null;
  }

  /** Null if its data are not JSON: an event of another kind than the API's. */
  private static Event event(String name, String data) {
    try {
      return new Event(name, Json.MAPPER.readTree(data));
    } catch (JsonProcessingException foreign) {
      return null;
    }
  }

  private String line(Deadline deadline) {
    try {
      return feed.line(deadline.atMost(SILENCE));
    } catch (TimeoutException silent) {
      if (deadline.over()) {
        throw new LateException();
      }
      throw new APITimeoutException("the stream of " + call + " is silent", silent);
    }
  }

  private void again(Deadline deadline, APIConnectionException broken) {
    feed.close();
    fruitless = lived.over() ? 0 : fruitless + 1;
    if (fruitless > transport.retries(call) + 1) {
      throw broken != null ? broken : new APIConnectionException("the stream of " + call + " ends each time it is opened", null);
    }
    if (fruitless > 0) {
      pause(deadline, Retries.backoff(fruitless));
    }
    open(deadline);
  }

  /** Waits, at most until the deadline. */
  public static void pause(Deadline deadline, Duration wait) {
    try {
      Thread.sleep(deadline.atMost(wait).toMillis());
    } catch (InterruptedException interrupt) {
      Thread.currentThread().interrupt();
      throw new APIConnectionException("the thread was interrupted while it waited", interrupt);
    }
    if (deadline.over()) {
      throw new LateException();
    }
  }

  private void open(Deadline deadline) {
    Map<String, String> headers = new LinkedHashMap<>(call.headers());
    if (lastId != null) {
      headers.put("Last-Event-ID", lastId);
    }
    Answer answer = Futures.join(transport.stream(call.with(headers).with(within(transport, call.options(), deadline))));
    over = answer.status() != 200;
    lived = Deadline.in(WORTHWHILE);
    feed = new LineFeed(answer);
    if (!over && !answer.mediaType().equals(MEDIA)) {
      feed.close();
      throw answer.invalid("is no event stream", null);
    }
  }

  /** The same options, and no try goes on after the deadline. */
  public static RequestOptions within(Transport transport, RequestOptions options, Deadline deadline) {
    RequestOptions.Builder made = RequestOptions.builder().timeout(deadline.atMost(transport.timeout(options)));
    options.maxRetries().ifPresent(made::maxRetries);
    options.extraHeaders().forEach(made::header);
    return made.build();
  }

  @Override
  public void close() {
    over = true;
    feed.close();
  }
}
