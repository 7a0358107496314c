package com.aiagents.sdk.internal;

import com.aiagents.sdk.errors.AIAgentsException;
import com.aiagents.sdk.errors.APIConnectionException;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Flow;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The lines of an answer while it comes. It asks for more when what came has been read. */
final class LineFeed implements Flow.Subscriber<List<ByteBuffer>>, AutoCloseable {
  private static final int LONGEST = 16 * 1024 * 1024;

  /** What came: bytes, or the end with its failure, if there was one. */
  private record Piece(List<ByteBuffer> bytes, Throwable failure, boolean last) {}

  private final BlockingQueue<Piece> pieces = new LinkedBlockingQueue<>();
  private final Deque<String> lines = new ArrayDeque<>();
  private ByteArrayOutputStream begun = new ByteArrayOutputStream();
  private volatile Flow.Subscription subscription;
  private volatile boolean closed;
  private boolean ended;

  LineFeed(Answer answer) {
    if (answer.stream() == null) {
      ended = true;
    } else {
      answer.stream().subscribe(this);
    }
  }

  /**
   * The next line without its end, or null after the last one.
   *
   * @throws TimeoutException none came in time
   * @throws APIConnectionException the stream broke
   */
  String line(Duration wait) throws TimeoutException {
    Deadline deadline = Deadline.in(wait);
    while (lines.isEmpty() && !ended) {
      take(deadline);
    }
    return lines.poll();
  }

  private void take(Deadline deadline) throws TimeoutException {
    Piece piece;
    try {
      piece = pieces.poll(deadline.left().toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException interrupt) {
      close();
      Thread.currentThread().interrupt();
      throw new APIConnectionException("the thread was interrupted while it read", interrupt);
    }
    if (piece == null) {
      throw new TimeoutException();
    }
    if (piece.failure() != null) {
      ended = true;
      throw new APIConnectionException("the stream broke: " + piece.failure().getMessage(), piece.failure());
    }
    if (piece.last()) {
      ended = true;
      if (begun.size() > 0) {
        finish();
      }
      return;
    }
    piece.bytes().forEach(this::split);
    subscription.request(1);
  }

  private void split(ByteBuffer bytes) {
    while (bytes.hasRemaining()) {
      byte one = bytes.get();
      if (one == '\n') {
        finish();
      } else if (begun.size() < LONGEST) {
        begun.write(one);
      } else {
        close();
        throw new AIAgentsException("a line of more than " + LONGEST + " bytes");
      }
    }
  }

  private void finish() {
    String line = begun.toString(StandardCharsets.UTF_8);
    begun = new ByteArrayOutputStream();
    lines.add(line.endsWith("\r") ? line.substring(0, line.length() - 1) : line);
  }

  @Override
  public void onSubscribe(Flow.Subscription given) {
    subscription = given;
    if (closed) {
      given.cancel();
    } else {
      given.request(1);
    }
  }

  @Override
  public void onNext(List<ByteBuffer> bytes) {
    pieces.add(new Piece(bytes, null, false));
  }

  @Override
  public void onError(Throwable failure) {
    pieces.add(new Piece(List.of(), failure, true));
  }

  @Override
  public void onComplete() {
    pieces.add(new Piece(List.of(), null, true));
  }

  @Override
  public void close() {
    closed = true;
    if (subscription != null) {
      subscription.cancel();
    }
  }
}
