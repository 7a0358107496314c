/**
 * All errors of the SDK. Arguments that cannot be are a `TypeError`, before anything is sent; a request that the
 * caller's `signal` ends fails with the signal's reason.
 *
 *     AIAgentsError
 *       APIConnectionError        no answer, or not a whole one
 *         APITimeoutError
 *       InvalidResponseError      a success whose body is not the API's
 *       APIError                  an answer of 300 and above; one class for each status, below these one for each code
 *       OperationFailedError      an operation ended otherwise than well
 *       OperationTimeoutError     it still runs
 *       WebhookVerificationError
 */
import type { Fault, Operation, OperationStep } from "./generated/models.js";

/** The root of all errors of this package. */
export class AIAgentsError extends Error {
  override readonly name: string = "AIAgentsError";
}

/** No answer came, or not a whole one: refused, reset, TLS, cut off. `cause` has what fetch said. */
export class APIConnectionError extends AIAgentsError {
  override readonly name: string = "APIConnectionError";
}

/** A try took longer than `timeout`. */
export class APITimeoutError extends APIConnectionError {
  override readonly name: string = "APITimeoutError";
}

/** A success that is not the API's: a proxy's page, JSON that is cut in half. It is not tried again. */
export class InvalidResponseError extends AIAgentsError {
  override readonly name: string = "InvalidResponseError";
  readonly status: number;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

/** The signature, the time or the headers of a webhook are not right: answer 400, and trust nothing of it. */
export class WebhookVerificationError extends AIAgentsError {
  override readonly name: string = "WebhookVerificationError";
}

/** What an answer with an error status says. */
export interface APIFailure {
  readonly status: number;
  readonly code: string | null;
  readonly message: string;
  readonly details: readonly Fault[];
  readonly requestId: string | null;
  /** Seconds. */
  readonly retryAfter: number | null;
}

/** The server answered with an error. */
export class APIError extends AIAgentsError implements APIFailure {
  override readonly name: string = "APIError";
  readonly status: number;
  /** Such as `RESOURCE_NOT_FOUND`; null if the answer is not of the API (a proxy's). */
  readonly code: string | null;
  /** Faults by field for `VALIDATION_ERROR`, else facts. */
  readonly details: readonly Fault[];
  /** What the server's log has this request under. */
  readonly requestId: string | null;
  /** Seconds to wait before the next try, if the server says so. */
  readonly retryAfter: number | null;

  constructor(failure: APIFailure) {
    super(failure.message);
    this.status = failure.status;
    this.code = failure.code;
    this.details = failure.details;
    this.requestId = failure.requestId;
    this.retryAfter = failure.retryAfter;
  }
}

/** 400 */
export class BadRequestError extends APIError {
  override readonly name: string = "BadRequestError";
}

/** 401; also if the OAuth server gives no token */
export class AuthenticationError extends APIError {
  override readonly name: string = "AuthenticationError";
}

/** 403 */
export class PermissionDeniedError extends APIError {
  override readonly name: string = "PermissionDeniedError";
}

/** 404 */
export class NotFoundError extends APIError {
  override readonly name: string = "NotFoundError";
}

/** 408 */
export class RequestTimeoutError extends APIError {
  override readonly name: string = "RequestTimeoutError";
}

/** 409 */
export class ConflictError extends APIError {
  override readonly name: string = "ConflictError";
}

/** 412: `if_match` names an older state */
export class PreconditionFailedError extends APIError {
  override readonly name: string = "PreconditionFailedError";
}

/** 413 */
export class ContentTooLargeError extends APIError {
  override readonly name: string = "ContentTooLargeError";
}

/** 415 */
export class UnsupportedMediaTypeError extends APIError {
  override readonly name: string = "UnsupportedMediaTypeError";
}

/** 422 */
export class UnprocessableContentError extends APIError {
  override readonly name: string = "UnprocessableContentError";
}

/** 429 */
export class RateLimitError extends APIError {
  override readonly name: string = "RateLimitError";
}

/** 500 to 599 */
export class InternalServerError extends APIError {
  override readonly name: string = "InternalServerError";
}

/** An operation ended otherwise than well: it failed, was cancelled, or its release was rolled back. */
export class OperationFailedError extends AIAgentsError {
  override readonly name: string = "OperationFailedError";
  readonly operationId: string;
  /** As in `operation.error`; the operation's status in capitals if it has none. */
  readonly code: string;
  /** Its last state, with its `steps`. */
  readonly operation: Operation;

  constructor(message: string, code: string, operation: Operation) {
    super(message);
    this.operationId = operation.operation_id;
    this.code = code;
    this.operation = operation;
  }

  get steps(): readonly OperationStep[] {
    return this.operation.steps;
  }
}

/** The operation still runs: `client.operations.resume(error.operationId)` waits on, here or in another process. */
export class OperationTimeoutError extends AIAgentsError {
  override readonly name: string = "OperationTimeoutError";
  readonly operationId: string;

  constructor(message: string, operationId: string) {
    super(message);
    this.operationId = operationId;
  }
}

/** What each status is; of 5xx all are an `InternalServerError`, others an `APIError`. */
export function classOfStatus(status: number): typeof APIError {
  switch (status) {
    case 400:
      return BadRequestError;
    case 401:
      return AuthenticationError;
    case 403:
      return PermissionDeniedError;
    case 404:
      return NotFoundError;
    case 408:
      return RequestTimeoutError;
    case 409:
      return ConflictError;
    case 412:
      return PreconditionFailedError;
    case 413:
      return ContentTooLargeError;
    case 415:
      return UnsupportedMediaTypeError;
    case 422:
      return UnprocessableContentError;
    case 429:
      return RateLimitError;
    default:
      return status >= 500 && status < 600 ? InternalServerError : APIError;
  }
}
