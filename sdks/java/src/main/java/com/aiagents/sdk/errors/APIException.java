package com.aiagents.sdk.errors;

import com.aiagents.sdk.models.Fault;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/** The API answered with an error status. Its classes are one for each status, and below them one for each code. */
public class APIException extends AIAgentsException {
  private static final long serialVersionUID = 1L;
  private final transient Failure failure;

  public APIException(Failure failure) {
    super(failure.message());
    this.failure = failure;
  }

  /** The class of its code, or of its status if the code is not known or has another one than usual. */
  public static APIException of(Failure failure) {
    APIException special = ErrorCodes.of(failure);
    if (special != null) {
      return special;
    }
    return switch (failure.status()) {
      case 400 -> new BadRequestException(failure);
      case 401 -> new AuthenticationException(failure);
      case 403 -> new PermissionDeniedException(failure);
      case 404 -> new NotFoundException(failure);
      case 408 -> new RequestTimeoutException(failure);
      case 409 -> new ConflictException(failure);
      case 412 -> new PreconditionFailedException(failure);
      case 413 -> new ContentTooLargeException(failure);
      case 415 -> new UnsupportedMediaTypeException(failure);
      case 422 -> new UnprocessableContentException(failure);
      case 429 -> new RateLimitException(failure);
      default ->
          failure.status() >= 500 ? new InternalServerException(failure) : new APIException(failure);
    };
  }

  public int status() {
    return failure.status();
  }

  /** The API's code, as {@code RESOURCE_NOT_FOUND}; empty if a proxy answered. */
  public Optional<String> code() {
    return Optional.ofNullable(failure.code());
  }

  /** Faults by field, or facts. */
  public List<Fault> details() {
    return failure.details();
  }

  /** What to tell whoever runs the API. */
  public Optional<String> requestId() {
    return Optional.ofNullable(failure.requestId());
  }

  /** What the server asks to wait before the next try. */
  public Optional<Duration> retryAfter() {
    return Optional.ofNullable(failure.retryAfter());
  }

  /** All of it. */
  public Failure failure() {
    return failure;
  }
}
