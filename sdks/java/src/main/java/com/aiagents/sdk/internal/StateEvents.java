package com.aiagents.sdk.internal;

/** The states of something that ends with {@code done}. */
final class StateEvents<T> implements Source<T> {
  private final EventSource events;
  private final Class<T> type;
  private boolean over;

  StateEvents(EventSource events, Class<T> type) {
    this.events = events;
    this.type = type;
  }

  @Override
  public T next() {
    while (!over) {
      EventSource.Event event = events.next();
      if (event == null) {
        close();
      } else if (event.name().equals("closed")) {
        close();
        throw Errors.told(event.data());
      } else if (event.name().equals("progress")) {
        if (event.data().path("done").asBoolean(false)) {
          close();
        }
        return LogEvents.read(event.data(), type);
      }
    }
    return null;
  }

  @Override
  public void close() {
    over = true;
    events.close();
  }
}
