package com.aiagents.sdk.internal;

import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.models.Deployment;
import com.aiagents.sdk.models.Operation;
import java.time.Duration;
import java.util.Map;
import java.util.function.Consumer;

/** What a handle asks of the API. */
public final class OperationCalls {
  private static final String PATH = "/operations/{operation_id}";

  private final Transport transport;
  private final Map<String, String> path;

  public OperationCalls(Transport transport, String id) {
    this.transport = transport;
    path = Map.of("operation_id", id);
  }

  public Operation get(RequestOptions options) {
    return Futures.join(transport.model(Call.get("operations.get", PATH, path, options), Operation.class));
  }

  public Operation cancel(String reason) {
    Map<String, Object> body = reason == null ? Map.of() : Map.of("reason", reason);
    Call call =
        new Call("operations.cancel", "POST", PATH + "/cancel", Call.JSON, path, Map.of(), Map.of(), body, reason != null, RequestOptions.none());
    return Futures.join(transport.model(call, Operation.class));
  }

  public Deployment deployment(String id) {
    return Futures.join(transport.deployment(id, RequestOptions.none()));
  }

  /** Sees each state until it is done, or until the server has none any more. */
  public void follow(Deadline deadline, Consumer<Operation> seen) {
    Call call = Call.get("operations.events", PATH + "/events", path, RequestOptions.none());
    try (EventSource events = new EventSource(transport, call, deadline)) {
      for (EventSource.Event event = events.next(deadline); event != null; event = events.next(deadline)) {
        if (event.name().equals("closed")) {
          throw Errors.told(event.data());
        }
        if (event.name().equals("progress")) {
          seen.accept(LogEvents.read(event.data(), Operation.class));
          if (event.data().path("done").asBoolean(false)) {
            return;
          }
        }
      }
    }
  }

  public RequestOptions within(Deadline deadline) {
    return EventSource.within(transport, RequestOptions.none(), deadline);
  }

  public void pause(Deadline deadline, Duration wait) {
    EventSource.pause(deadline, wait);
  }
}
