package aiagents

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"sync"
	"time"
)

const defaultPoll = 2 * time.Second

// OperationHandle is a long-running operation, such as a build and its deployment. It may be used by many goroutines.
// Another process takes it up by its id: [OperationsService.Resume].
type OperationHandle struct {
	core *core
	id   string
	poll time.Duration

	lock sync.Mutex
	seen *Operation
	// From the first answer, which is no whole operation.
	status     OperationStatus
	deployment string
}

// Who waits for a person says how long.
const longestWait = time.Hour

// WaitParams say how to wait for an operation; the zero value waits as long as the context allows, or an hour.
type WaitParams struct {
	// Timeout ends the wait with an [*OperationTimeoutError]; the operation goes on. Zero: an hour, unless the context has a
	// deadline of its own; negative: none.
	Timeout time.Duration
	// OnProgress is called with each state that is seen, from the goroutine that waits.
	OnProgress func(Operation)
	// PollInterval is the time between two questions where events cannot be followed. Zero: what the server asks for.
	PollInterval time.Duration
}

func startOperation(ctx context.Context, c *core, r request, options []CallOption) (*OperationHandle, error) {
	accepted, err := getData[AcceptedOperation](ctx, c, r, options)
	if err != nil {
		return nil, err
	}
	return &OperationHandle{
		core: c, id: accepted.OperationID, status: accepted.Status, deployment: accepted.ResourceID,
		poll: time.Duration(accepted.PollIntervalSeconds) * time.Second,
	}, nil
}

// Resume is a handle of an operation that another process, or an earlier call, has begun. It asks the server nothing.
func (s *OperationsService) Resume(operationID string) *OperationHandle {
	return &OperationHandle{core: s.core, id: operationID}
}

// Events are the states of an operation as they come, until it is done.
func (s *OperationsService) Events(ctx context.Context, operationID string, opts ...CallOption) iter.Seq2[Operation, error] {
	return func(yield func(Operation, error) bool) {
		handle := s.Resume(operationID)
		err := handle.follow(ctx, opts, func(one Operation) bool { return yield(one, nil) })
		if err != nil {
			yield(Operation{}, withoutMark(err))
		}
	}
}

// ID is the operation's.
func (h *OperationHandle) ID() string { return h.id }

// Operation is its state as it was last seen; nil if it was not yet.
func (h *OperationHandle) Operation() *Operation {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.seen
}

// Status is its status as it was last seen; empty if it was not yet.
func (h *OperationHandle) Status() OperationStatus {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.seen != nil {
		return h.seen.Status
	}
	return h.status
}

// Done tells whether it has ended, well or badly, as far as was seen.
func (h *OperationHandle) Done() bool {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.seen != nil && h.seen.Done
}

// DeploymentID is its deployment's; empty if the operation was not seen yet.
func (h *OperationHandle) DeploymentID() string {
	h.lock.Lock()
	defer h.lock.Unlock()
	if h.seen != nil {
		return h.seen.ResourceID
	}
	return h.deployment
}

func (h *OperationHandle) saw(one *Operation) {
	h.lock.Lock()
	defer h.lock.Unlock()
	h.seen = one
}

// Refresh asks for its state.
func (h *OperationHandle) Refresh(ctx context.Context, opts ...CallOption) (*Operation, error) {
	found, err := getData[Operation](ctx, h.core, request{verb: http.MethodGet, name: "operations.get", path: route("/operations/{}", h.id)}, opts)
	if err == nil {
		h.saw(found)
	}
	return found, err
}

// Cancel asks for its end; [OperationHandle.Wait] sees it.
func (h *OperationHandle) Cancel(ctx context.Context, params OperationCancelParams, opts ...CallOption) (*Operation, error) {
	found, err := (&OperationsService{h.core}).Cancel(ctx, h.id, params, opts...)
	if err == nil {
		h.saw(found)
	}
	return found, err
}

// Wait waits for its end, however it is. It follows the operation's events, and polls where it cannot.
//
// An operation that failed is no error here; see [OperationHandle.Result].
func (h *OperationHandle) Wait(ctx context.Context, params WaitParams, opts ...CallOption) (*Operation, error) {
	began := time.Now()
	limited, cancel := ctx, func() {}
	timeout := params.Timeout
	if _, set := ctx.Deadline(); timeout == 0 && !set {
		timeout = longestWait
	}
	if timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	err := h.wait(limited, params, opts)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return h.Operation(), &OperationTimeoutError{OperationID: h.id, Waited: time.Since(began)}
	}
	if err != nil {
		return nil, err
	}
	return h.Operation(), nil
}

func (h *OperationHandle) wait(ctx context.Context, params WaitParams, opts []CallOption) error {
	if h.Done() {
		return nil
	}
	progress := func(one Operation) bool {
		if params.OnProgress != nil {
			params.OnProgress(one)
		}
		return true
	}
	err := h.follow(ctx, opts, progress)
	if errors.Is(err, errNoStream) {
		return h.polled(ctx, params.PollInterval, opts, progress)
	}
	return err
}

// follow reads its events until it is done, or until `handle` says false.
func (h *OperationHandle) follow(ctx context.Context, opts []CallOption, handle func(Operation) bool) error {
	r := request{verb: http.MethodGet, name: "operations.events", path: route("/operations/{}/events", h.id)}
	stopped := false
	err := h.core.streamed(ctx, r, opts, func(one event) (bool, error) {
		if one.name != "progress" {
			return false, nil
		}
		var told Operation
		if err := json.Unmarshal([]byte(one.data), &told); err != nil {
			return false, &InvalidResponseError{StatusCode: 200, ContentType: eventStream, Excerpt: excerpt([]byte(one.data)), reason: "an event does not fit"}
		}
		h.saw(&told)
		stopped = !handle(told)
		return told.Done || stopped, nil
	})
	if err != nil || h.Done() || stopped {
		return err
	}
	found, err := h.Refresh(ctx, opts...) // 204: it was over before
	if err != nil {
		return err
	}
	handle(*found)
	if !found.Done {
		return errNoStream
	}
	return nil
}

func (h *OperationHandle) polled(ctx context.Context, interval time.Duration, opts []CallOption, handle func(Operation) bool) error {
	if interval <= 0 {
		interval = h.poll
	}
	if interval <= 0 {
		interval = defaultPoll
	}
	for version := -1; ; {
		found, err := h.Refresh(ctx, opts...)
		if err != nil {
			return err
		}
		if found.Version != version {
			handle(*found)
			version = found.Version
		}
		if found.Done {
			return nil
		}
		if err := sleep(ctx, interval); err != nil {
			return err
		}
	}
}

// Result waits, and gives the deployment. An operation that ended otherwise than well is an [*OperationFailedError].
func (h *OperationHandle) Result(ctx context.Context, params WaitParams, opts ...CallOption) (*Deployment, error) {
	found, err := h.Wait(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	if found.Status != OperationStatusCompleted {
		return nil, failure(*found)
	}
	return h.core.deployment(ctx, found.ResourceID)
}

func failure(found Operation) error {
	made := &OperationFailedError{Code: "CANCELLED", Message: "it was cancelled", Steps: found.Steps, Operation: found}
	if found.Status != OperationStatusCancelled {
		made.Code, made.Message = "", "it ended as "+string(found.Status)
	}
	if found.Error != nil {
		made.Code, made.Message = found.Error.Code, found.Error.Message
	}
	return made
}
