package aiagents

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// ClientOption configures a [Client].
type ClientOption interface{ applyClient(*config) }

// CallOption configures one call.
type CallOption interface{ applyCall(*call) }

// Option is both: for all calls of a client, or for one.
type Option interface {
	ClientOption
	CallOption
}

// TokenFunc gives an access token; it is asked for each request.
type TokenFunc func(ctx context.Context) (string, error)

type config struct {
	baseURL      string
	apiKey       string
	token        TokenFunc
	oauth        *oauthSettings
	httpClient   *http.Client
	logger       *slog.Logger
	deprecations func(Deprecation)
	timeout      time.Duration
	maxRetries   int
	header       http.Header
	credentials  int // how many kinds were given
}

// call is what holds for one call.
type call struct {
	timeout        time.Duration
	maxRetries     int
	header         http.Header
	idempotencyKey string
	response       *Response
}

type clientOption func(*config)

func (o clientOption) applyClient(c *config) { o(c) }

type callOption func(*call)

func (o callOption) applyCall(c *call) { o(c) }

type option struct {
	client func(*config)
	call   func(*call)
}

func (o option) applyClient(c *config) { o.client(c) }
func (o option) applyCall(c *call)     { o.call(c) }

// WithBaseURL says where the API is, with or without /v1. The default is AI_AGENTS_BASE_URL.
func WithBaseURL(url string) ClientOption { return clientOption(func(c *config) { c.baseURL = url }) }

// WithAPIKey authenticates by an API key. The default is AI_AGENTS_API_KEY.
func WithAPIKey(key string) ClientOption {
	return clientOption(func(c *config) { c.apiKey = key; c.credentials++ })
}

// WithToken authenticates by a fixed access token.
func WithToken(token string) ClientOption {
	return WithTokenFunc(func(context.Context) (string, error) { return token, nil })
}

// WithTokenFunc authenticates by access tokens that a function gives, one for each request.
func WithTokenFunc(token TokenFunc) ClientOption {
	return clientOption(func(c *config) { c.token = token; c.credentials++ })
}

// WithClientCredentials authenticates a service account. Tokens are fetched and renewed by the client; without scopes
// they have all that the account may do.
func WithClientCredentials(clientID, clientSecret string, scopes ...string) ClientOption {
	return clientOption(func(c *config) {
		c.oauth = &oauthSettings{clientID: clientID, clientSecret: clientSecret, scopes: scopes}
		c.credentials++
	})
}

// WithRefreshToken authenticates the user who logged in to an application. The API gives a new refresh token with each
// access token, and an old one that is used again ends the login: give each to one client, and store the new ones, which
// `store` is called with (it may be nil). clientSecret is empty for public applications.
func WithRefreshToken(clientID, clientSecret, refreshToken string, store func(refreshToken string)) ClientOption {
	return clientOption(func(c *config) {
		c.oauth = &oauthSettings{clientID: clientID, clientSecret: clientSecret, refreshToken: refreshToken, store: store}
		c.credentials++
	})
}

// WithHTTPClient sends requests by a client of yours: proxies, certificates, traces. Its own timeout holds as well.
func WithHTTPClient(client *http.Client) ClientOption {
	return clientOption(func(c *config) { c.httpClient = client })
}

// WithLogger logs every try at the level debug: never keys, tokens, secrets or bodies. Deprecations are warnings.
func WithLogger(logger *slog.Logger) ClientOption {
	return clientOption(func(c *config) { c.logger = logger })
}

// WithDeprecationHandler is called once for each operation of the API that the server calls deprecated.
// The default is a warning in the log.
func WithDeprecationHandler(handle func(Deprecation)) ClientOption {
	return clientOption(func(c *config) { c.deprecations = handle })
}

// WithTimeout limits each try of a call, streams apart. The default is a minute.
func WithTimeout(timeout time.Duration) Option {
	return option{func(c *config) { c.timeout = timeout }, func(c *call) { c.timeout = timeout }}
}

// WithMaxRetries says how often a call is tried again after the first time. The default is 2.
func WithMaxRetries(retries int) Option {
	return option{func(c *config) { c.maxRetries = retries }, func(c *call) { c.maxRetries = retries }}
}

// WithHeader sends a header more.
func WithHeader(name, value string) Option {
	return option{func(c *config) { c.header.Set(name, value) }, func(c *call) { c.header.Set(name, value) }}
}

// WithIdempotencyKey repeats a call of before: with the same key and arguments it gets the same answer. Every POST and
// PATCH has a key of its own otherwise.
func WithIdempotencyKey(key string) CallOption {
	return callOption(func(c *call) { c.idempotencyKey = key })
}

// WithIfMatch changes a resource only if it is still the version with this ETag; else the error is
// [ErrPreconditionFailed].
func WithIfMatch(etag string) CallOption {
	return callOption(func(c *call) { c.header.Set("If-Match", etag) })
}

// WithIfNoneMatch reads a resource only if it is not the version with this ETag any more; else the error is
// [ErrNotModified].
func WithIfNoneMatch(etag string) CallOption {
	return callOption(func(c *call) { c.header.Set("If-None-Match", etag) })
}

// WithResponse keeps the answer as it came, such as its ETag.
func WithResponse(into *Response) CallOption {
	return callOption(func(c *call) { c.response = into })
}

// Response is an answer as it came; of a stream there is no Body.
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte
}

// Deprecation is what the API says about an operation that should not be used any more.
type Deprecation struct {
	Method string // `projects.get`
	Since  time.Time
	Sunset time.Time // when it stops working; zero if that is not known
	Link   string    // what replaces it
}

// String is a sentence.
func (d Deprecation) String() string {
	text := fmt.Sprintf("%s is deprecated", d.Method)
	if !d.Since.IsZero() {
		text += " since " + d.Since.UTC().Format(time.DateOnly)
	}
	if !d.Sunset.IsZero() {
		text += " and stops working on " + d.Sunset.UTC().Format(time.DateOnly)
	}
	if d.Link != "" {
		text += "; see " + d.Link
	}
	return text
}
