package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.APITimeoutException;
import com.aiagents.sdk.errors.InvalidResponseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import java.time.Duration;
import java.util.concurrent.TimeoutException;

/** An export: one JSON object a line. */
final class JsonLines<T> implements Source<T> {
  private static final Duration SILENCE = Duration.ofSeconds(60);

  private final Answer answer;
  private final LineFeed feed;
  private final Class<T> type;

  JsonLines(Answer answer, Class<T> type) {
    this.answer = answer;
    this.type = type;
    feed = new LineFeed(answer);
    if (answer.status() == 200 && !answer.mediaType().equals("application/x-ndjson")) {
      feed.close();
      throw answer.invalid("is no export", null);
    }
  }

  @Override
  public T next() {
    try {
      String line = feed.line(SILENCE);
      while (line != null && line.isBlank()) {
        line = feed.line(SILENCE);
      }
      return line == null ? null : Json.MAPPER.readValue(line, type);
    } catch (TimeoutException silent) {
      throw new APITimeoutException("nothing came for " + SILENCE.toSeconds() + " s", silent);
    } catch (JsonProcessingException cut) {
      throw new InvalidResponseException(answer.status(), "a line of the export is not the API's JSON", null);
    }
  }

  @Override
  public void close() {
    feed.close();
  }
}
