package aiagents

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 8 * time.Second
	// A server that wants to be left alone for longer is told to the caller at once.
	maxRetryAfter = time.Minute
	// No try begins later than this after the first one.
	overallLimit = 10 * time.Minute
	maxExcerpt   = 200
	maxBody      = 256 << 20
	jsonType     = "application/json"
)

// core is what all resources send their requests by.
type core struct {
	root string
	config
	tokens *tokens
}

// request is one call of a method, as the generated code describes it.
type request struct {
	verb            string
	name            string // `projects.get`
	path            address
	params          any
	hasBody         bool
	bodyRequired    bool
	asksForApproval bool // see [askForApproval]
	secret          bool
	query           map[string]string // more than params, or instead: "" takes a value away
	accept          string
	lastEventID     string
	stream          bool
}

// answer is what came: of a stream the body is open.
type answer struct {
	status int
	header http.Header
	body   []byte
	stream io.ReadCloser
}

func (a *answer) contentType() string { return a.header.Get("Content-Type") }

// prepared is a request with all that stays the same in each try.
type prepared struct {
	request
	call
	url  string
	body []byte
}

func (c *core) prepare(r request, options []CallOption) (*prepared, error) {
	if c == nil {
		return nil, errNoClient
	}
	if r.path.err != nil {
		return nil, r.path.err
	}
	made := &prepared{request: r, call: call{timeout: c.timeout, maxRetries: c.maxRetries, header: c.header.Clone()}}
	for _, one := range options {
		one.applyCall(&made.call)
	}
	if made.timeout <= 0 || made.maxRetries < 0 {
		return nil, &InvalidArgumentError{Name: "options", Reason: "a timeout must be positive, retries must not be negative"}
	}
	query, fields, err := collect(r.params)
	if err != nil {
		return nil, err
	}
	if r.asksForApproval {
		askForApproval(fields)
	}
	for name, value := range r.query {
		query.Del(name)
		if value != "" {
			query.Set(name, value)
		}
	}
	made.url = c.root + "/v1" + r.path.text
	if len(query) > 0 {
		made.url += "?" + query.Encode()
	}
	if r.hasBody && (r.bodyRequired || len(fields) > 0) {
		if made.body, err = json.Marshal(fields); err != nil {
			return nil, &InvalidArgumentError{Name: "parameters", Reason: err.Error()}
		}
	}
	if r.verb == http.MethodPost || r.verb == http.MethodPatch {
		if made.idempotencyKey == "" {
			made.idempotencyKey = uuid4()
		}
	} else {
		made.idempotencyKey = ""
	}
	return made, nil
}

// send sends a request until there is an answer that is worth nothing to ask for again.
func (c *core) send(ctx context.Context, r request, options []CallOption) (*answer, error) {
	made, err := c.prepare(r, options)
	if err != nil {
		return nil, err
	}
	return c.deliver(ctx, made)
}

func (c *core) deliver(ctx context.Context, made *prepared) (*answer, error) {
	began := time.Now()
	renewed, token := false, ""
	for attempt := 0; ; {
		var err error
		if c.tokens != nil {
			if token, err = c.tokens.get(ctx, ""); err != nil {
				return nil, err
			}
		}
		found, err := c.try(ctx, made, token, attempt)
		if err == nil {
			c.deprecated(made.name, found.header)
			return found, nil
		}
		var refused *APIError
		if errors.As(err, &refused) {
			c.deprecated(made.name, refused.Response.Header)
			if refused.StatusCode == http.StatusUnauthorized && c.tokens != nil && !renewed {
				renewed = true
				if _, failed := c.tokens.get(ctx, token); failed != nil {
					return nil, failed
				}
				continue
			}
		}
		wait, again := c.again(err, attempt)
		if !again || attempt >= made.maxRetries || time.Since(began)+wait > overallLimit {
			return nil, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		attempt++
	}
}

// try is one request and its answer; an error status is an error.
func (c *core) try(ctx context.Context, made *prepared, token string, attempt int) (*answer, error) {
	began := time.Now()
	limited, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(made.timeout, func() { cancel(errTooLate) })
	found, err := c.exchange(limited, made, token, timer, cancel)
	if err != nil || found.stream == nil {
		timer.Stop()
		cancel(nil)
	}
	var refused *APIError
	attributes := []any{"method", made.verb, "path", "/v1" + made.path.text, "operation", made.name, "try", attempt + 1, "took", time.Since(began)}
	switch {
	case err == nil:
		c.logger.DebugContext(ctx, "aiagents: answered", append(attributes, "status", found.status, "request_id", found.header.Get("X-Request-ID"))...)
	case errors.As(err, &refused):
		c.logger.DebugContext(ctx, "aiagents: refused", append(attributes, "status", refused.StatusCode, "code", refused.Code, "request_id", refused.RequestID)...)
	default:
		c.logger.DebugContext(ctx, "aiagents: failed", append(attributes, "error", err.Error())...)
	}
	return found, err
}

var errTooLate = errors.New("it took longer than the timeout")

func (c *core) exchange(ctx context.Context, made *prepared, token string, timer *time.Timer, cancel context.CancelCauseFunc) (*answer, error) {
	sent, err := c.httpRequest(ctx, made, token)
	if err != nil {
		return nil, err
	}
	response, err := c.httpClient.Do(sent)
	if err != nil {
		return nil, c.broken(ctx, err, made)
	}
	found := &answer{status: response.StatusCode, header: response.Header}
	if made.stream && response.StatusCode == http.StatusOK {
		timer.Stop() // of the headers; the stream has its own
		found.stream = &watched{body: response.Body, idle: max(made.timeout, minIdle), cancel: cancel, context: ctx}
	} else {
		found.body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1))
		_ = response.Body.Close()
		if err != nil {
			return nil, c.broken(ctx, err, made)
		}
		if len(found.body) > maxBody {
			return nil, invalid(found, fmt.Sprintf("the answer is longer than %d MiB: ask for a part of it", maxBody>>20))
		}
	}
	if made.response != nil {
		*made.response = Response{StatusCode: found.status, Header: found.header, Body: found.body}
	}
	switch {
	case found.status == http.StatusNotModified:
		return nil, ErrNotModified
	case found.status >= 400:
		return nil, refusal(found)
	case found.status >= 300:
		return nil, invalid(found, "the server redirects to "+strconv.Quote(found.header.Get("Location")))
	}
	return found, nil
}

func (c *core) httpRequest(ctx context.Context, made *prepared, token string) (*http.Request, error) {
	var body io.Reader
	if made.body != nil {
		body = bytes.NewReader(made.body)
	}
	sent, err := http.NewRequestWithContext(ctx, made.verb, made.url, body)
	if err != nil {
		return nil, &InvalidArgumentError{Name: "request", Reason: err.Error()}
	}
	sent.Header.Set("Accept", jsonType)
	if made.accept != "" {
		sent.Header.Set("Accept", made.accept)
	}
	if made.body != nil {
		sent.Header.Set("Content-Type", jsonType)
	}
	sent.Header.Set("User-Agent", "ai-agents-go/"+Version)
	if made.idempotencyKey != "" {
		sent.Header.Set("Idempotency-Key", made.idempotencyKey)
	}
	if made.lastEventID != "" {
		sent.Header.Set("Last-Event-ID", made.lastEventID)
	}
	switch {
	case token != "":
		sent.Header.Set("Authorization", "Bearer "+token)
	case c.token != nil:
		given, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		sent.Header.Set("Authorization", "Bearer "+given)
	case c.apiKey != "":
		sent.Header.Set("X-API-Key", c.apiKey)
	}
	for name, values := range made.header {
		sent.Header[name] = values
	}
	for name, values := range sent.Header {
		for _, value := range values {
			if strings.ContainsFunc(value, notInHeaders) {
				return nil, &InvalidArgumentError{Name: name, Reason: "it has a character that no header can have, such as the end of a line"}
			}
		}
	}
	return sent, nil
}

func notInHeaders(one rune) bool { return one < ' ' && one != '\t' || one > '~' }

// broken says what the HTTP client's error means.
func (c *core) broken(ctx context.Context, err error, made *prepared) error {
	where := made.verb + " " + c.root + "/v1" + made.path.text
	if errors.Is(context.Cause(ctx), errTooLate) {
		return &ConnectionError{Err: err, timeout: true, text: fmt.Sprintf("%s took longer than %s; give WithTimeout more", where, made.timeout)}
	}
	if ctx.Err() != nil {
		late := errors.Is(ctx.Err(), context.DeadlineExceeded)
		return &ConnectionError{Err: ctx.Err(), timeout: late, text: fmt.Sprintf("%s was given up: %s", where, ctx.Err())}
	}
	return &ConnectionError{Err: err, text: fmt.Sprintf("no answer from %s: %s", where, shortened(err))}
}

// shortened is an error without the URL that [net/http] begins it with.
func shortened(err error) string {
	if inner := errors.Unwrap(err); inner != nil && strings.HasSuffix(err.Error(), inner.Error()) {
		return inner.Error()
	}
	return err.Error()
}

// again tells whether the same request may succeed, and when.
func (c *core) again(err error, attempt int) (time.Duration, bool) {
	backoff := min(firstBackoff<<min(attempt, 10), lastBackoff)
	backoff = backoff/2 + mathrand.N(backoff/2+1)
	var refused *APIError
	var connection *ConnectionError
	switch {
	case errors.As(err, &connection):
		var certificate *tls.CertificateVerificationError
		given := errors.Is(err, context.Canceled) || errors.Is(connection.Err, context.DeadlineExceeded) && !connection.timeout
		return backoff, !given && !errors.As(err, &certificate)
	case errors.As(err, &refused):
		if refused.RetryAfter > maxRetryAfter {
			refused.note = fmt.Sprintf("the server asks to try again in %s", refused.RetryAfter)
			return 0, false
		}
		return max(backoff, refused.RetryAfter), retryable(refused)
	}
	return 0, false
}

func retryable(refused *APIError) bool {
	switch refused.StatusCode {
	case 408, 429, 500, 502, 503, 504:
		return true
	case 409:
		return refused.Code == CodeIdempotencyInProgress
	}
	return false
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &ConnectionError{Err: ctx.Err(), timeout: errors.Is(ctx.Err(), context.DeadlineExceeded), text: "given up: " + ctx.Err().Error()}
	}
}

// refusal reads an error status: the API's envelope, or whatever a proxy wrote.
func refusal(found *answer) *APIError {
	var envelope struct {
		Error *ErrorBody `json:"error"`
		Meta  struct {
			RequestID  string   `json:"request_id"`
			RetryAfter *float64 `json:"retry_after"`
		} `json:"meta"`
	}
	made := &APIError{
		StatusCode: found.status,
		RequestID:  found.header.Get("X-Request-ID"),
		Response:   Response{StatusCode: found.status, Header: found.header, Body: found.body},
		RetryAfter: retryAfter(found.header),
	}
	if json.Unmarshal(found.body, &envelope) != nil || envelope.Error == nil || envelope.Error.Code == "" {
		made.Message = fmt.Sprintf("the answer is not the API's: content type %q, body %q", found.contentType(), excerpt(found.body))
		return made
	}
	made.Code, made.Message = envelope.Error.Code, envelope.Error.Message
	if envelope.Error.Details != nil {
		made.Details = *envelope.Error.Details
	}
	if made.RequestID == "" {
		made.RequestID = envelope.Meta.RequestID
	}
	if made.RetryAfter == 0 && envelope.Meta.RetryAfter != nil {
		made.RetryAfter = time.Duration(*envelope.Meta.RetryAfter * float64(time.Second))
	}
	return made
}

// retryAfter is in seconds, or a date, which is compared with the server's own clock.
func retryAfter(header http.Header) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.Duration(min(max(seconds, 0), 1e8) * float64(time.Second))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(at.Sub(now), 0)
}

func invalid(found *answer, reason string) *InvalidResponseError {
	return &InvalidResponseError{StatusCode: found.status, ContentType: found.contentType(), Excerpt: excerpt(found.body), reason: reason}
}

func excerpt(body []byte) string {
	text := []rune(strings.ToValidUTF8(string(body[:min(len(body), 4*maxExcerpt)]), "\uFFFD"))
	return string(text[:min(len(text), maxExcerpt)])
}

// Each operation is warned of once in a process.
var warned sync.Map

func (c *core) deprecated(name string, header http.Header) {
	since := header.Get("Deprecation")
	if since == "" && header.Get("Sunset") == "" {
		return
	}
	if _, before := warned.LoadOrStore(name, true); before {
		return
	}
	told := Deprecation{Method: name}
	if seconds, err := strconv.ParseInt(strings.TrimPrefix(since, "@"), 10, 64); err == nil {
		told.Since = time.Unix(seconds, 0).UTC()
	} else if at, err := http.ParseTime(since); err == nil {
		told.Since = at
	}
	if at, err := http.ParseTime(header.Get("Sunset")); err == nil {
		told.Sunset = at
	}
	for _, link := range header.Values("Link") {
		if strings.Contains(link, "successor-version") {
			told.Link = strings.Trim(strings.SplitN(link, ">", 2)[0], "< ")
		}
	}
	c.deprecations(told)
}

func uuid4() string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails
	bits[6], bits[8] = bits[6]&0x0f|0x40, bits[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", bits[0:4], bits[4:6], bits[6:8], bits[8:10], bits[10:])
}
