package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.AIAgentsException;
import com.aiagents.sdk.errors.APIConnectionException;
import com.aiagents.sdk.errors.APIException;
import java.lang.System.Logger.Level;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpResponse.BodySubscribers;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiFunction;
import java.util.function.Function;

/** One logical call: its tries, the waits between them, and one new token after a 401. */
final class Exchange<T> {
  /**
   * What is sent.
   *
   * @param name for the log
   * @param request makes it for the header that says who sends it
   * @param stream whether its answer is followed while it comes
   * @param failure makes the exception of an error status
   */
  record Sent(
      String name,
      Function<Credentials.Header, HttpRequest> request,
      boolean stream,
      BiFunction<Answer, Duration, APIException> failure) {}

  /**
   * @param timeout of one try
   * @param retries tries after the first
   * @param once whether it must not reach the server twice: it is only sent again if it has certainly done nothing
   */
  record Patience(Duration timeout, int retries, boolean once) {}

  private static final System.Logger LOG = System.getLogger("com.aiagents.sdk");

  private final HttpClient http;
  private final Credentials credentials;
  private final Sent sent;
  private final Patience patience;
  private final Reader<T> reader;
  private final CompletableFuture<T> result = new CompletableFuture<>();
  private final long began = System.nanoTime();
  private int tries;
  private boolean renewed;
  private volatile CompletableFuture<?> flying;

  Exchange(HttpClient http, Credentials credentials, Sent sent, Patience patience, Reader<T> reader) {
    this.http = http;
    this.credentials = credentials;
    this.sent = sent;
    this.patience = patience;
    this.reader = reader;
  }

  /** Begins; cancelling the future ends what is on its way. */
  CompletableFuture<T> start() {
    result.whenComplete(
        (value, failure) -> {
          if (result.isCancelled() && flying != null) {
            flying.cancel(true);
          }
        });
    attempt(null);
    return result;
  }

  private void attempt(Credentials.Header refused) {
    credentials.header(refused).whenComplete((header, failure) -> guarded(() -> send(header, failure)));
  }

  private void send(Credentials.Header header, Throwable noHeader) {
    if (noHeader != null) {
      result.completeExceptionally(Futures.cause(noHeader));
      return;
    }
    if (result.isDone()) {
      return;
    }
    tries++;
    HttpRequest request = sent.request().apply(header);
    long start = System.nanoTime();
    CompletableFuture<HttpResponse<Body>> answered = http.sendAsync(request, body(sent.stream()));
    flying = answered;
    answered
        .copy()
        .orTimeout(patience.timeout().toMillis(), TimeUnit.MILLISECONDS)
        .whenComplete((response, failure) -> guarded(() -> ended(request, header, start, response, failure, answered)));
  }

  private void ended(
      HttpRequest request,
      Credentials.Header header,
      long start,
      HttpResponse<Body> response,
      Throwable failure,
      CompletableFuture<?> answered) {
    if (failure != null) {
      if (Futures.cause(failure) instanceof TimeoutException) {
        answered.cancel(true);
      }
      log(request, start, Futures.cause(failure).getClass().getSimpleName());
      AIAgentsException told = Errors.of(failure, request.uri(), patience.timeout());
      boolean passing = told instanceof APIConnectionException && !Errors.lasting(failure);
      again(told, null, passing && (!patience.once() || Errors.unsent(failure)));
      return;
    }
    Answer answer = new Answer(response.statusCode(), response.headers(), response.body().bytes(), response.body().stream());
    log(request, start, answer.status() + answer.header("X-Request-ID").map(id -> ", request " + id).orElse(""));
    Deprecations.tell(sent.name(), answer);
    if (answer.status() >= 200 && answer.status() < 300) {
      result.complete(reader.read(answer));
    } else if (answer.status() == 401 && credentials.renewable() && !renewed) {
      renewed = true;
      tries--;
      attempt(header);
    } else {
      Duration after = Retries.after(answer);
      APIException error = sent.failure().apply(answer, after);
      boolean refused = answer.status() == 429 || answer.status() == 503;
      boolean passing = Retries.worthwhile(answer.status(), error.code().orElse(null));
      again(error, after, passing && (!patience.once() || refused));
    }
  }

  private void again(AIAgentsException error, Duration asked, boolean worthwhile) {
    Duration wait = asked == null ? Retries.backoff(tries) : asked;
    Duration spent = Duration.ofNanos(System.nanoTime() - began);
    boolean tooLong = wait.compareTo(Retries.LONGEST_WAIT) > 0 || spent.plus(wait).compareTo(Retries.ALL) > 0;
    if (!worthwhile || tries > patience.retries() || tooLong) {
      result.completeExceptionally(error);
      return;
    }
    LOG.log(Level.DEBUG, "{0}: try {1} failed, the next one in {2} ms", sent.name(), tries, wait.toMillis());
    Executor later = CompletableFuture.delayedExecutor(wait.toMillis(), TimeUnit.MILLISECONDS);
    later.execute(() -> guarded(() -> attempt(null)));
  }

  /** Whatever is thrown on another thread is the call's failure. */
  private void guarded(Runnable step) {
    try {
      step.run();
    } catch (RuntimeException | Error failure) {
      result.completeExceptionally(failure);
    }
  }

  private void log(HttpRequest request, long start, String end) {
    // Neither query, headers nor body: they may have secrets.
    LOG.log(
        Level.DEBUG,
        "{0} {1}: {2} after {3} ms",
        request.method(),
        request.uri().getRawPath(),
        end,
        String.valueOf((System.nanoTime() - start) / 1_000_000));
  }

  private record Body(byte[] bytes, Flow.Publisher<List<ByteBuffer>> stream) {}

  private static BodyHandler<Body> body(boolean stream) {
    return info -> {
      boolean follows = stream && info.statusCode() == 200;
      return follows
          ? BodySubscribers.mapping(BodyHandlers.ofPublisher().apply(info), flow -> new Body(new byte[0], flow))
          : BodySubscribers.mapping(BodyHandlers.ofByteArray().apply(info), bytes -> new Body(bytes, null));
    };
  }
}
