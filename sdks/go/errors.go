package aiagents

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrAIAgents is what every error of this package matches.
var ErrAIAgents = errors.New("aiagents")

// What [errors.Is] finds in an [*APIError] of a status.
var (
	ErrBadRequest           error = &sentinel{"BadRequestError", 400, ""}
	ErrAuthentication       error = &sentinel{"AuthenticationError", 401, ""}
	ErrPermissionDenied     error = &sentinel{"PermissionDeniedError", 403, ""}
	ErrNotFound             error = &sentinel{"NotFoundError", 404, ""}
	ErrRequestTimeout       error = &sentinel{"RequestTimeoutError", 408, ""}
	ErrConflict             error = &sentinel{"ConflictError", 409, ""}
	ErrPreconditionFailed   error = &sentinel{"PreconditionFailedError", 412, ""}
	ErrContentTooLarge      error = &sentinel{"ContentTooLargeError", 413, ""}
	ErrUnsupportedMediaType error = &sentinel{"UnsupportedMediaTypeError", 415, ""}
	ErrUnprocessableContent error = &sentinel{"UnprocessableContentError", 422, ""}
	ErrRateLimit            error = &sentinel{"RateLimitError", 429, ""}
	ErrInternalServer       error = &sentinel{"InternalServerError", 500, ""} // 500 to 599
)

// Other sentinels.
var (
	// ErrConnection: no answer came, or not a whole one.
	ErrConnection = errors.New("aiagents: connection")
	// ErrTimeout: a try took longer than its timeout. It is an ErrConnection too.
	ErrTimeout = errors.New("aiagents: timeout")
	// ErrNotModified: with [WithIfNoneMatch], the resource is still that version.
	ErrNotModified error = &notModified{}
	// ErrNoNextPage: there is no page after this one.
	ErrNoNextPage error = &InvalidArgumentError{Name: "page", Reason: "there is no page after this one"}
)

var statuses = []error{
	ErrBadRequest, ErrAuthentication, ErrPermissionDenied, ErrNotFound, ErrRequestTimeout, ErrConflict,
	ErrPreconditionFailed, ErrContentTooLarge, ErrUnsupportedMediaType, ErrUnprocessableContent, ErrRateLimit,
	ErrInternalServer,
}

type notModified struct{}

func (*notModified) Error() string        { return "aiagents: not modified" }
func (*notModified) Is(target error) bool { return target == ErrAIAgents }

// sentinel matches an [*APIError] by its status, or by its code as well.
type sentinel struct {
	class  string // in the other SDKs, and in the conformance suite
	status int
	code   string
}

func (s *sentinel) Error() string { return "aiagents: " + s.class }

func (s *sentinel) matches(status int, code string) bool {
	if s.code != "" {
		return s.code == code && (s.status == status || s.status == 0)
	}
	return s.status == status || s.status == 500 && status > 500 && status < 600
}

// APIError is an answer with an error status.
type APIError struct {
	StatusCode int
	// Code is empty if the body was no envelope of the API, such as a proxy's HTML.
	Code      string
	Message   string
	Details   []Fault
	RequestID string
	// RetryAfter is how long the server wants to be left alone; zero if it does not say.
	RetryAfter time.Duration
	// Response is the answer as it came.
	Response Response

	note string
}

func (e *APIError) Error() string {
	text := e.Message
	if e.Code != "" {
		text = e.Code + ": " + text
	}
	if e.StatusCode > 0 {
		text = fmt.Sprintf("%d %s", e.StatusCode, text)
	}
	for index, fault := range e.Details {
		if index == 3 {
			text += fmt.Sprintf("; and %d more", len(e.Details)-index)
			break
		}
		text += "; " + strings.TrimPrefix(fault.Field+": ", ": ") + fault.Message
	}
	if e.note != "" {
		text += "; " + e.note
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return "aiagents: " + text
}

// Is finds the sentinels of its status and of its code.
func (e *APIError) Is(target error) bool {
	if target == ErrAIAgents {
		return true
	}
	wanted, ok := target.(*sentinel)
	return ok && wanted.matches(e.StatusCode, e.Code)
}

// ConnectionError is no answer, or not a whole one: refused, reset, TLS, cut off, too late.
type ConnectionError struct {
	// Err is what the HTTP client said.
	Err     error
	timeout bool
	text    string
}

func (e *ConnectionError) Error() string { return "aiagents: " + e.text }

// Unwrap is what the HTTP client said.
func (e *ConnectionError) Unwrap() error { return e.Err }

// Timeout tells whether a try took longer than its timeout.
func (e *ConnectionError) Timeout() bool { return e.timeout }

// Is finds [ErrConnection] and [ErrTimeout].
func (e *ConnectionError) Is(target error) bool {
	return target == ErrAIAgents || target == ErrConnection || target == ErrTimeout && e.timeout
}

// InvalidResponseError is a success whose body is not what the API sends: a proxy's page, cut JSON.
type InvalidResponseError struct {
	StatusCode  int
	ContentType string
	// Excerpt is the beginning of the body, at most 200 characters.
	Excerpt string
	reason  string
}

func (e *InvalidResponseError) Error() string {
	return fmt.Sprintf("aiagents: %s: status %d, content type %q, body %q; is the base URL right, and is there a proxy between?",
		e.reason, e.StatusCode, e.ContentType, e.Excerpt)
}

// Is finds [ErrAIAgents].
func (e *InvalidResponseError) Is(target error) bool { return target == ErrAIAgents }

// InvalidArgumentError is an argument that cannot be; nothing was sent.
type InvalidArgumentError struct {
	Name   string
	Reason string
}

func (e *InvalidArgumentError) Error() string { return "aiagents: " + e.Name + ": " + e.Reason }

// Is finds [ErrAIAgents].
func (e *InvalidArgumentError) Is(target error) bool { return target == ErrAIAgents }

// WebhookVerificationError says what is not right with a request that claims to be a webhook.
type WebhookVerificationError struct{ Reason string }

func (e *WebhookVerificationError) Error() string { return "aiagents: webhook: " + e.Reason }

// Is finds [ErrAIAgents].
func (e *WebhookVerificationError) Is(target error) bool { return target == ErrAIAgents }

// OperationFailedError is an operation that ended otherwise than well.
type OperationFailedError struct {
	Code      string
	Message   string
	Steps     []OperationStep
	Operation Operation
}

func (e *OperationFailedError) Error() string {
	text := fmt.Sprintf("aiagents: operation %s %s: %s: %s", e.Operation.OperationID, e.Operation.Status, e.Code, e.Message)
	for _, step := range e.Steps {
		if step.Status == OperationStepStatusFailed {
			text += fmt.Sprintf(" (step %s)", step.Name)
		}
	}
	return text
}

// Is finds the sentinel of its code.
func (e *OperationFailedError) Is(target error) bool {
	wanted, ok := target.(*sentinel)
	return target == ErrAIAgents || ok && wanted.code != "" && wanted.code == e.Code
}

// OperationTimeoutError is an operation that still runs when the wait for it is over. [OperationsService.Resume] goes on.
type OperationTimeoutError struct {
	OperationID string
	Waited      time.Duration
}

func (e *OperationTimeoutError) Error() string {
	return fmt.Sprintf("aiagents: operation %s still runs after %s; it goes on, and Operations.Resume takes it up again", e.OperationID, e.Waited.Round(time.Second))
}

// Is finds [ErrAIAgents] and [ErrTimeout].
func (e *OperationTimeoutError) Is(target error) bool {
	return target == ErrAIAgents || target == ErrTimeout
}

// Classes are the names that an error's kinds have in the other SDKs, the most special one first; for logs and metrics.
func Classes(err error) []string {
	var answer *APIError
	var connection *ConnectionError
	var found []string
	switch {
	case errors.As(err, &answer):
		if known := codes[answer.Code]; known != nil && known.matches(answer.StatusCode, answer.Code) {
			found = append(found, known.class)
		}
		for _, one := range statuses {
			if status := one.(*sentinel); status.matches(answer.StatusCode, "") && (len(found) == 0 || found[0] != status.class) {
				found = append(found, status.class)
			}
		}
		found = append(found, "APIError")
	case errors.As(err, &connection):
		if connection.timeout {
			found = append(found, "APITimeoutError")
		}
		found = append(found, "APIConnectionError")
	default:
		found = append(found, ownClass(err)...)
	}
	if errors.Is(err, ErrAIAgents) {
		found = append(found, "AIAgentsError")
	}
	return found
}

func ownClass(err error) []string {
	var invalid *InvalidResponseError
	var argument *InvalidArgumentError
	var webhook *WebhookVerificationError
	var failed *OperationFailedError
	var timeout *OperationTimeoutError
	switch {
	case errors.As(err, &invalid):
		return []string{"InvalidResponseError"}
	case errors.As(err, &argument):
		return []string{"InvalidArgument"}
	case errors.As(err, &webhook):
		return []string{"WebhookVerificationError"}
	case errors.As(err, &failed):
		return []string{"OperationFailedError"}
	case errors.As(err, &timeout):
		return []string{"OperationTimeoutError"}
	}
	return nil
}
