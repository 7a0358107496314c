package com.aiagents.sdk.internal;

import com.aiagents.sdk.LineStream;
import com.aiagents.sdk.Model;
import com.aiagents.sdk.OperationHandle;
import com.aiagents.sdk.Page;
import com.aiagents.sdk.RequestOptions;
import com.aiagents.sdk.UpdateResult;
import com.aiagents.sdk.errors.InvalidResponseException;
import com.aiagents.sdk.models.AcceptedOperation;
import com.aiagents.sdk.models.Deployment;
import com.fasterxml.jackson.databind.JsonNode;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.StringJoiner;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;

/** Carries out calls. */
public final class Transport {
  private final Settings settings;

  public Transport(Settings settings) {
    this.settings = settings;
    if (settings.credentials() instanceof OAuth oauth) {
      oauth.by(this::token);
    }
  }

  /** The same, and {@code observer} sees each good answer. */
  public Transport observedBy(Consumer<Answer> observer) {
    return new Transport(settings.observedBy(observer));
  }

  // What methods return

  /** {@code data} as a model. */
  public <T> CompletableFuture<T> model(Call call, Class<T> type) {
    return send(call, answer -> answer.read(answer.data(), type));
  }

  /** {@code data} as a list of models. */
  public <T> CompletableFuture<List<T>> models(Call call, Class<T> type) {
    return send(call, answer -> list(answer, answer.data(), type));
  }

  /** An answer without the envelope. */
  public <T> CompletableFuture<T> bare(Call call, Class<T> type) {
    return send(call, answer -> answer.read(answer.json(), type));
  }

  /** JSON that is no model of the API. */
  public CompletableFuture<JsonNode> document(Call call) {
    return send(call, Answer::json);
  }

  /** Plain text. */
  public CompletableFuture<String> text(Call call) {
    return send(call.accepting("text/plain"), Answer::text);
  }

  /** Nothing but that it succeeded. */
  public CompletableFuture<Void> nothing(Call call) {
    return send(call, answer -> null);
  }

  /** A page of a list. */
  public <T> CompletableFuture<Page<T>> page(Call call, Class<T> type) {
    return send(call, answer -> page(call, answer, type));
  }

  /** An operation that was accepted. */
  public CompletableFuture<OperationHandle> operation(Call call) {
    return send(
        call, answer -> new OperationHandle(this, answer.read(answer.data(), AcceptedOperation.class)));
  }

  /** A deployment, or, if its operation was accepted, the deployment that it names. */
  public CompletableFuture<Deployment> deployment(Call call) {
    Function<Answer, CompletableFuture<Deployment>> whole =
        answer ->
            answer.status() == 202 && answer.data().has("resource_id")
                ? deployment(answer.data().get("resource_id").asText(), call.options())
                : CompletableFuture.completedFuture(answer.read(answer.data(), Deployment.class));
    return send(call, answer -> answer).thenCompose(whole);
  }

  /** A deployment by its id. */
  public CompletableFuture<Deployment> deployment(String id, RequestOptions options) {
    Call get = Call.get("deployments.get", "/deployments/{deployment_id}", Map.of("deployment_id", id), withoutKey(options));
    return model(get, Deployment.class);
  }

  /** What was changed, or the change that waits for approval. */
  public <T, C> CompletableFuture<UpdateResult<T, C>> update(Call call, Class<T> type, Class<C> change) {
    return send(
        call,
        answer ->
            answer.status() == 202
                ? new UpdateResult<>(Optional.empty(), Optional.of(answer.read(answer.data(), change)))
                : new UpdateResult<>(Optional.of(answer.read(answer.data(), type)), Optional.empty()));
  }

  /** Lines of JSON, as they come. */
  public <T extends Model> LineStream<T> lines(Call call, Class<T> type) {
    Answer answer = Futures.join(stream(call.accepting("application/x-ndjson")));
    return new LineStream<>(new JsonLines<>(answer, type));
  }

  /** A log while it is written; the models are in the field {@code lines} of its events. */
  public <T extends Model> LineStream<T> log(Call call, Class<T> type) {
    Map<String, Object> query = new LinkedHashMap<>(call.query());
    query.put("follow", true);
    return new LineStream<>(new LogEvents<>(new EventSource(this, call.asking(query)), type));
  }

  /** The states of an operation while it runs. */
  public <T extends Model> LineStream<T> states(Call call, Class<T> type) {
    return new LineStream<>(new StateEvents<>(new EventSource(this, call), type));
  }

  // How they are sent

  <T> CompletableFuture<T> send(Call call, Reader<T> reader) {
    return exchange(
        call,
        false,
        answer -> {
          T read = reader.read(answer);
          if (settings.observer() != null) {
            settings.observer().accept(answer);
          }
          return read;
        });
  }

  /** An answer that is followed while it comes. */
  CompletableFuture<Answer> stream(Call call) {
    return exchange(
        call,
        true,
        answer -> {
          if (settings.observer() != null) {
            settings.observer().accept(answer);
          }
          return answer;
        });
  }

  /** How often a stream that broke is opened again without having brought anything. */
  int retries(Call call) {
    return call.options().maxRetries().orElse(settings.maxRetries());
  }

  Duration timeout(RequestOptions options) {
    return options.timeout().orElse(settings.timeout());
  }

  private <T> CompletableFuture<T> exchange(Call call, boolean stream, Reader<T> reader) {
    String key = call.takesKey() ? call.options().idempotencyKey().orElseGet(() -> UUID.randomUUID().toString()) : null;
    Exchange.Sent sent =
        new Exchange.Sent(call.method(), header -> request(call, key, header), stream, Errors::of);
    Exchange.Patience patience = new Exchange.Patience(timeout(call.options()), retries(call), false);
    return new Exchange<>(settings.http(), settings.credentials(), sent, patience, reader).start();
  }

  private HttpRequest request(Call call, String key, Credentials.Header credentials) {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(settings.base().of(call.template(), call.path(), call.query()));
    Map<String, String> headers = new LinkedHashMap<>();
    headers.put("Accept", call.accept());
    headers.put("User-Agent", Version.USER_AGENT);
    if (call.bodied()) {
      headers.put("Content-Type", Call.JSON);
    }
    if (key != null) {
      headers.put("Idempotency-Key", key);
    }
    if (credentials != null) {
      headers.put(credentials.name(), credentials.value());
    }
    settings.headers().forEach((name, value) -> put(headers, name, value));
    call.headers().forEach((name, value) -> put(headers, name, value));
    call.options().extraHeaders().forEach((name, value) -> put(headers, name, value));
    headers.forEach((name, value) -> set(request, name, value));
    plainHttp(request);
    return request
        .method(call.verb(), call.bodied() ? BodyPublishers.ofString(Json.text(call.body())) : BodyPublishers.noBody())
        .build();
  }

  private CompletableFuture<Answer> token(Map<String, String> form, Credentials.Header authorization) {
    StringJoiner fields = new StringJoiner("&");
    form.forEach((name, value) -> fields.add(BaseUrl.encoded(name) + "=" + BaseUrl.encoded(value)));
    HttpRequest.Builder request =
        HttpRequest.newBuilder(settings.base().token())
            .header("Accept", Call.JSON)
            .header("User-Agent", Version.USER_AGENT)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .POST(BodyPublishers.ofString(fields.toString()));
    if (authorization != null) {
      set(request, authorization.name(), authorization.value());
    }
    plainHttp(request);
    HttpRequest made = request.build();
    Exchange.Sent sent = new Exchange.Sent("oauth.token", none -> made, false, OAuth::failure);
    // A refresh token counts once: a second use looks like a thief's.
    boolean once = form.containsKey("refresh_token");
    Exchange.Patience patience = new Exchange.Patience(settings.timeout(), settings.maxRetries(), once);
    return new Exchange<>(settings.http(), Credentials.none(), sent, patience, answer -> answer).start();
  }

  /** Without TLS there is nobody to agree on HTTP/2 with, and asking for it costs servers a warning. */
  private void plainHttp(HttpRequest.Builder request) {
    if (settings.base().root().startsWith("http:")) {
      request.version(HttpClient.Version.HTTP_1_1);
    }
  }

  private static void put(Map<String, String> headers, String name, String value) {
    headers.keySet().removeIf(name::equalsIgnoreCase);
    headers.put(name, value);
  }

  private static void set(HttpRequest.Builder request, String name, String value) {
    try {
      request.setHeader(name, value);
    } catch (IllegalArgumentException wrong) {
      // The cause would show the value.
      throw new IllegalArgumentException("the header " + name + " cannot be sent: its name or its value is not allowed");
    }
  }

  private static RequestOptions withoutKey(RequestOptions options) {
    RequestOptions.Builder kept = RequestOptions.builder();
    options.timeout().ifPresent(kept::timeout);
    options.maxRetries().ifPresent(kept::maxRetries);
    options.extraHeaders().forEach(kept::header);
    return kept.build();
  }

  private <T> Page<T> page(Call call, Answer answer, Class<T> type) {
    JsonNode whole = answer.json();
    List<T> items = list(answer, answer.data(), type);
    JsonNode pagination = whole.path("pagination");
    Long total = pagination.path("total").isIntegralNumber() ? pagination.get("total").asLong() : null;
    if (!pagination.path("has_next").asBoolean(false)) {
      return new Page<>(items, total, null);
    }
    Map<String, Object> query = new LinkedHashMap<>(call.query());
    String cursor = pagination.path("next_cursor").asText(null);
    if (cursor != null && !cursor.equals(call.query().get("cursor"))) {
      query.remove("page");
      query.put("cursor", cursor);
    } else if (cursor == null && pagination.path("page").isIntegralNumber()) {
      query.put("page", pagination.get("page").asInt() + 1);
    } else {
      throw answer.invalid("has a next page without its cursor or number", null);
    }
    return new Page<>(items, total, () -> page(call.asking(query), type));
  }

  private static <T> List<T> list(Answer answer, JsonNode node, Class<T> type) throws InvalidResponseException {
    if (!node.isArray()) {
      throw answer.invalid("has no list", null);
    }
    return answer.read(node, Json.MAPPER.getTypeFactory().constructCollectionType(List.class, type));
  }
}
