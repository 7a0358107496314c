package com.aiagents.sdk;

import com.aiagents.sdk.errors.APIConnectionException;
import com.aiagents.sdk.errors.APIException;
import com.aiagents.sdk.errors.APITimeoutException;
import com.aiagents.sdk.errors.InvalidResponseException;
import com.aiagents.sdk.errors.OperationFailedException;
import com.aiagents.sdk.errors.OperationTimeoutException;
import com.aiagents.sdk.internal.Deadline;
import com.aiagents.sdk.internal.LateException;
import com.aiagents.sdk.internal.OperationCalls;
import com.aiagents.sdk.internal.Transport;
import com.aiagents.sdk.models.AcceptedOperation;
import com.aiagents.sdk.models.Deployment;
import com.aiagents.sdk.models.Operation;
import com.aiagents.sdk.models.OperationStatus;
import java.time.Duration;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * An operation that runs on the server, whoever waits for it. Its {@link #id} is all that another process needs: {@code
 * client.operations().resume(id)}. Not to be waited for by two threads at once.
 */
public final class OperationHandle {
  /** How long {@link #await()} and {@link #result()} wait. */
  public static final Duration LONGEST_WAIT = Duration.ofHours(1);

  /** Events that cannot be had here; the operation can be asked for. */
  private static final Set<Integer> NO_EVENTS = Set.of(404, 405, 406, 501);

  private static final Duration POLL = Duration.ofSeconds(5);

  private final OperationCalls calls;
  private final String id;
  private final String deploymentId;
  private OperationStatus status;
  private Operation seen;
  private Duration pollInterval;

  /** For the core: it was accepted. */
  public OperationHandle(Transport transport, AcceptedOperation accepted) {
    this(transport, accepted.operationId(), accepted.resourceId());
    status = accepted.status();
    Integer seconds = accepted.pollIntervalSeconds();
    pollInterval = seconds == null || seconds <= 0 ? POLL : Duration.ofSeconds(seconds);
  }

  /** For the core: it was read. */
  public OperationHandle(Transport transport, Operation operation) {
    this(transport, operation.operationId(), operation.resourceId());
    pollInterval = POLL;
    saw(operation);
  }

  private OperationHandle(Transport transport, String id, String deploymentId) {
    this.id = Objects.requireNonNull(id);
    this.deploymentId = deploymentId;
    calls = new OperationCalls(transport, id);
  }

  public String id() {
    return id;
  }

  /** As it was last seen. */
  public OperationStatus status() {
    return status;
  }

  /** Whether it had ended when it was last seen. */
  public boolean done() {
    return seen != null && Boolean.TRUE.equals(seen.done());
  }

  /** As it was last seen; empty if it was only accepted. */
  public Optional<Operation> operation() {
    return Optional.ofNullable(seen);
  }

  /** The deployment that it makes. */
  public String deploymentId() {
    return deploymentId;
  }

  /** How often it is asked for where there are no events; the server says five seconds. */
  public OperationHandle pollInterval(Duration interval) {
    if (interval.isNegative() || interval.isZero()) {
      throw new IllegalArgumentException("the poll interval must be positive");
    }
    pollInterval = interval;
    return this;
  }

  /** Reads it again. */
  public Operation refresh() {
    return saw(calls.get(RequestOptions.none()));
  }

  /** Asks for its end; it may take a while until it has ended. */
  public Operation cancel() {
    return cancel(null);
  }

  /** Asks for its end, and says why. */
  public Operation cancel(String reason) {
    return saw(calls.cancel(reason));
  }

  /** Waits until it has ended, well or badly, for at most an hour. */
  public Operation await() {
    return await(LONGEST_WAIT, operation -> {});
  }

  /** Waits until it has ended, well or badly. */
  public Operation await(Duration timeout) {
    return await(timeout, operation -> {});
  }

  /**
   * Waits until it has ended, well or badly.
   *
   * @param onProgress sees each state, in this thread
   * @throws OperationTimeoutException it still runs, and goes on
   */
  public Operation await(Duration timeout, Consumer<? super Operation> onProgress) {
    Deadline deadline = Deadline.in(timeout);
    try {
      if (!done() && !follow(deadline, onProgress)) {
        poll(deadline, onProgress);
      }
    } catch (LateException late) {
      throw tooLate(timeout);
    } catch (APITimeoutException slow) {
      if (deadline.over()) {
        throw tooLate(timeout);
      }
      throw slow;
    }
    return seen;
  }

  /** Its deployment; waits for at most an hour. */
  public Deployment result() {
    return result(LONGEST_WAIT);
  }

  /**
   * Its deployment; waits if it must.
   *
   * @throws OperationFailedException it ended otherwise than well
   * @throws OperationTimeoutException it still runs, and goes on
   */
  public Deployment result(Duration timeout) {
    Operation ended = await(timeout);
    if (!OperationStatus.COMPLETED.equals(ended.status())) {
      throw new OperationFailedException(ended);
    }
    return calls.deployment(ended.resourceId());
  }

  /** Whether it could be followed to its end. */
  private boolean follow(Deadline deadline, Consumer<? super Operation> onProgress) {
    try {
      calls.follow(deadline, operation -> told(operation, onProgress));
    } catch (InvalidResponseException noStream) {
      return false;
    } catch (APIException refused) {
      if (!NO_EVENTS.contains(refused.status())) {
        throw refused;
      }
      return false;
    } catch (APIConnectionException broken) {
      if (deadline.over() || Thread.currentThread().isInterrupted()) {
        throw broken;
      }
      return false;
    }
    // The stream may have ended since its last event was seen before.
    if (!done()) {
      told(calls.get(calls.within(deadline)), onProgress);
    }
    return done();
  }

  private void poll(Deadline deadline, Consumer<? super Operation> onProgress) {
    told(calls.get(calls.within(deadline)), onProgress);
    while (!done()) {
      calls.pause(deadline, pollInterval);
      told(calls.get(calls.within(deadline)), onProgress);
    }
  }

  private void told(Operation operation, Consumer<? super Operation> onProgress) {
    boolean news = seen == null || !Objects.equals(seen.version(), operation.version());
    saw(operation);
    if (news) {
      onProgress.accept(operation);
    }
  }

  private Operation saw(Operation operation) {
    seen = operation;
    status = operation.status();
    return operation;
  }

  private OperationTimeoutException tooLate(Duration timeout) {
    return new OperationTimeoutException(
        id,
        "operation " + id + " is still " + status + " after " + timeout.toMillis() / 1000.0
            + " s; it goes on: client.operations().resume(\"" + id + "\") waits again");
  }

  @Override
  public String toString() {
    return "OperationHandle[" + id + ", " + status + "]";
  }
}
