package aiagents

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
)

const (
	eventStream = "text/event-stream"
	ndjson      = "application/x-ndjson"
	// The server sends a comment every 15 seconds; a stream without anything for so long is dead.
	minIdle = time.Minute
)

// watched is a body that is given up when nothing comes for a while.
type watched struct {
	body    io.ReadCloser
	idle    time.Duration
	cancel  context.CancelCauseFunc
	context context.Context
}

func (w *watched) Read(into []byte) (int, error) {
	timer := time.AfterFunc(w.idle, func() { w.cancel(errTooLate) })
	defer timer.Stop()
	count, err := w.body.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		late := errors.Is(context.Cause(w.context), errTooLate)
		if w.context.Err() != nil && !late {
			err = w.context.Err()
		}
		err = &ConnectionError{Err: err, timeout: late, text: "the stream broke: " + err.Error()}
	}
	return count, err
}

func (w *watched) Close() error {
	w.cancel(nil)
	return w.body.Close()
}

type event struct{ id, name, data string }

// events reads server-sent events; a stream that ends in the middle of an event does not give it.
func events(body io.Reader) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		reader := bufio.NewReader(body)
		var found event
		var data []string
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				if !errors.Is(err, io.EOF) {
					yield(event{}, err)
				}
				return
			}
			line = strings.TrimRight(line, "\r\n")
			if line == "" {
				found.data = strings.Join(data, "\n")
				if (data != nil || found.name != "") && !yield(found, nil) {
					return
				}
				found, data = event{id: found.id}, nil
				continue
			}
			name, value, _ := strings.Cut(line, ":")
			value = strings.TrimPrefix(value, " ")
			switch name {
			case "id":
				found.id = value
			case "event":
				found.name = value
			case "data":
				data = append(data, value)
			}
		}
	}
}

// closedBy is the error that an event `closed` tells: the access is gone.
func closedBy(data string) error {
	var told struct{ Code, Message string }
	if json.Unmarshal([]byte(data), &told) != nil || told.Code == "" {
		return &ConnectionError{Err: io.ErrUnexpectedEOF, text: "the server closed the stream: " + excerpt([]byte(data))}
	}
	made := &APIError{Code: told.Code, Message: told.Message}
	if known := codes[told.Code]; known != nil {
		made.StatusCode = known.status
	}
	return made
}

var errNoStream = errors.New("aiagents: no stream here")

// streamed follows a stream of events from its beginning, and takes it up again where it broke. It ends with nil when
// `handle` says so or the server has nothing more; errNoStream if there is no such stream.
func (c *core) streamed(ctx context.Context, r request, options []CallOption, handle func(event) (done bool, err error)) error {
	r.stream, r.accept = true, eventStream
	for idle := 0; ; {
		got, err := c.send(ctx, r, options)
		if err != nil {
			return noStream(err)
		}
		if got.status == http.StatusNoContent {
			return nil
		}
		if got.stream == nil || !strings.HasPrefix(got.contentType(), eventStream) {
			if got.stream != nil {
				got.body, _ = io.ReadAll(io.LimitReader(got.stream, 4*maxExcerpt))
				_ = got.stream.Close()
			}
			return errors.Join(errNoStream, invalid(got, "the answer is no event stream"))
		}
		last := r.lastEventID
		done, broken, err := consume(got.stream, &r, handle)
		if done || err != nil {
			return err
		}
		if ctx.Err() != nil {
			return &ConnectionError{Err: ctx.Err(), timeout: errors.Is(ctx.Err(), context.DeadlineExceeded), text: "given up: " + ctx.Err().Error()}
		}
		if idle++; r.lastEventID != last {
			idle = 1
		}
		if broken != nil && idle > c.maxRetries+1 {
			return broken
		}
		wait, _ := c.again(&ConnectionError{Err: io.EOF}, idle-1)
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func consume(body io.ReadCloser, r *request, handle func(event) (bool, error)) (done bool, broken, err error) {
	defer body.Close()
	for one, failed := range events(body) {
		if failed != nil {
			return false, failed, nil
		}
		if one.name == "closed" {
			return false, nil, closedBy(one.data)
		}
		if done, err = handle(one); done || err != nil {
			return done, nil, err
		}
		if one.id != "" {
			r.lastEventID = one.id
		}
	}
	return false, nil, nil
}

// noStream tells an answer that says that there are no streams from all other errors.
func noStream(err error) error {
	var refused *APIError
	if errors.As(err, &refused) {
		switch refused.StatusCode {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
			return errors.Join(errNoStream, err)
		}
	}
	return err
}

// withoutMark takes errNoStream away again: callers of a stream alone have no use for it.
func withoutMark(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok && errors.Is(err, errNoStream) {
		return joined.Unwrap()[1]
	}
	return err
}

// LogEntry is a line of a log that is followed: of a build or an operation with its Step, of what runs with its Instance.
type LogEntry struct {
	Step        string      `json:"step,omitempty"`
	Instance    string      `json:"instance,omitempty"`
	Time        *time.Time  `json:"time,omitempty"`
	Text        string      `json:"text"`
	ExtraFields ExtraFields `json:"-"`
}

// UnmarshalJSON keeps fields that are not known.
func (l *LogEntry) UnmarshalJSON(data []byte) error {
	type plain LogEntry
	return readObject(data, (*plain)(l), &l.ExtraFields)
}

// MarshalJSON writes them again.
func (l LogEntry) MarshalJSON() ([]byte, error) {
	type plain LogEntry
	return writeObject(plain(l), l.ExtraFields)
}

func followLog(ctx context.Context, c *core, r request, options []CallOption) iter.Seq2[LogEntry, error] {
	r.query = map[string]string{"follow": "true"}
	return func(yield func(LogEntry, error) bool) {
		err := c.streamed(ctx, r, options, func(one event) (bool, error) {
			if one.name != "log" {
				return one.name == "end", nil
			}
			var told struct{ Lines []LogEntry }
			if err := json.Unmarshal([]byte(one.data), &told); err != nil {
				return false, &InvalidResponseError{StatusCode: 200, ContentType: eventStream, Excerpt: excerpt([]byte(one.data)), reason: "an event does not fit"}
			}
			for _, line := range told.Lines {
				if !yield(line, nil) {
					return true, nil
				}
			}
			return false, nil
		})
		if err != nil {
			yield(LogEntry{}, withoutMark(err))
		}
	}
}

// exportLines gives each line of an export as it comes.
func exportLines[T any](ctx context.Context, c *core, r request, options []CallOption) iter.Seq2[T, error] {
	r.stream, r.accept = true, ndjson
	return func(yield func(T, error) bool) {
		var none T
		got, err := c.send(ctx, r, options)
		if err != nil {
			yield(none, err)
			return
		}
		if got.stream == nil {
			return
		}
		defer got.stream.Close()
		if !strings.HasPrefix(got.contentType(), ndjson) {
			got.body, _ = io.ReadAll(io.LimitReader(got.stream, 4*maxExcerpt))
			yield(none, invalid(got, "the answer is no export"))
			return
		}
		for reader := bufio.NewReader(got.stream); ; {
			line, err := reader.ReadBytes('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				yield(none, err)
				return
			}
			if line = bytes.TrimSpace(line); len(line) > 0 {
				one, failed := decode[T](&answer{status: got.status, header: got.header, body: line}, line)
				if failed != nil {
					yield(none, failed)
					return
				}
				if !yield(*one, nil) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}
