package com.aiagents.sdk;

import com.aiagents.sdk.errors.InvalidResponseException;
import com.aiagents.sdk.internal.Json;
import com.aiagents.sdk.resources.WebhookEvents;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.time.OffsetDateTime;
import java.util.Optional;

/** A webhook whose signature is good. */
public final class WebhookMessage {
  private final JsonNode json;

  WebhookMessage(JsonNode json) {
    this.json = json;
  }

  /** What happened, as {@code deployment.completed}; empty text if it does not say. */
  public String event() {
    return json.path("event").asText("");
  }

  /** The same in every attempt: an id that was seen before is a duplicate. */
  public String eventId() {
    return json.path("event_id").asText("");
  }

  /** When it happened. */
  public Optional<OffsetDateTime> timestamp() {
    return Optional.ofNullable(json.path("timestamp").asText(null)).map(OffsetDateTime::parse);
  }

  /** How many attempts were made before. */
  public int retryCount() {
    return json.path("retry_count").asInt(0);
  }

  /** All of it. */
  public JsonNode json() {
    return json;
  }

  /** The event's model, as {@code DeploymentCompletedEvent}; empty for an event that this version does not know. */
  public Optional<Model> model() {
    return Optional.ofNullable(WebhookEvents.MODELS.get(event())).map(this::as);
  }

  /**
   * The event as this model.
   *
   * @throws InvalidResponseException it does not read as such
   */
  public <T extends Model> T as(Class<T> type) {
    try {
      return Json.MAPPER.treeToValue(json, type);
    } catch (JsonProcessingException wrong) {
      throw new InvalidResponseException(200, "the event does not read as " + type.getSimpleName(), null);
    }
  }

  @Override
  public String toString() {
    return "WebhookMessage[" + event() + ", " + eventId() + "]";
  }
}
