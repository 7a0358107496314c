package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.AIAgentsException;
import com.aiagents.sdk.errors.APIConnectionException;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** The blocking methods wait for the others' futures. */
public final class Futures {
  private Futures() {}

  /** Waits; what failed is thrown as it is, with the stack of who waits. An interrupt ends the request. */
  public static <T> T join(CompletableFuture<T> future) {
    try {
      return future.get();
    } catch (InterruptedException interrupt) {
      future.cancel(true);
      Thread.currentThread().interrupt();
      throw new APIConnectionException("the thread was interrupted while it waited for the answer", interrupt);
    } catch (ExecutionException failure) {
      throw asThrown(failure.getCause());
    } catch (CancellationException cancelled) {
      throw new APIConnectionException("the request was cancelled", cancelled);
    }
  }

  /** What is behind the wrappers of CompletableFuture. */
  static Throwable cause(Throwable failure) {
    Throwable cause = failure;
    while (cause instanceof CompletionException && cause.getCause() != null) {
      cause = cause.getCause();
    }
    return cause;
  }

  private static RuntimeException asThrown(Throwable failure) {
    Throwable cause = cause(failure);
    if (cause instanceof Error error) {
      throw error;
    }
    if (cause instanceof AIAgentsException ours) {
      // Made on a thread of the HTTP client, whose stack tells nobody who called.
      ours.setStackTrace(new Throwable().getStackTrace());
      return ours;
    }
    return cause instanceof RuntimeException plain ? plain : new AIAgentsException(cause.toString(), cause);
  }
}
