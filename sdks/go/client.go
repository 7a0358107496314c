package aiagents

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"
)

const (
	defaultTimeout    = time.Minute
	defaultMaxRetries = 2
)

// Client of the API. It may be used by many goroutines at once.
type Client struct {
	services
	core *core
}

// NewClient makes a client. Without options it is for AI_AGENTS_BASE_URL, with the key AI_AGENTS_API_KEY.
//
// The error is an [*InvalidArgumentError]: no base URL or a wrong one, or two kinds of credentials.
func NewClient(options ...ClientOption) (*Client, error) {
	settings := config{timeout: defaultTimeout, maxRetries: defaultMaxRetries, header: http.Header{}}
	for _, one := range options {
		one.applyClient(&settings)
	}
	if settings.baseURL == "" {
		settings.baseURL = os.Getenv("AI_AGENTS_BASE_URL")
	}
	if settings.credentials == 0 {
		settings.apiKey = os.Getenv("AI_AGENTS_API_KEY")
	}
	made, err := newCore(settings)
	if err != nil {
		return nil, err
	}
	return &Client{services: newServices(made), core: made}, nil
}

func newCore(settings config) (*core, error) {
	root, err := rootOf(settings.baseURL)
	if err != nil {
		return nil, err
	}
	if settings.credentials > 1 {
		return nil, &InvalidArgumentError{Name: "credentials", Reason: "give one kind: an API key, a token, or a client"}
	}
	if strings.ContainsFunc(settings.apiKey, unicode.IsControl) {
		return nil, &InvalidArgumentError{Name: "API key", Reason: "it has a line end or another control character in it"}
	}
	if settings.maxRetries < 0 || settings.timeout <= 0 {
		return nil, &InvalidArgumentError{Name: "options", Reason: "a timeout must be positive, retries must not be negative"}
	}
	made := &core{root: root, config: settings}
	if made.httpClient == nil {
		made.httpClient = &http.Client{CheckRedirect: noRedirects}
	}
	if made.logger == nil {
		made.logger = slog.New(slog.DiscardHandler)
		if made.deprecations == nil {
			made.deprecations = func(d Deprecation) { slog.Default().Warn("aiagents: " + d.String()) }
		}
	}
	if made.deprecations == nil {
		made.deprecations = func(d Deprecation) { made.logger.Warn("aiagents: " + d.String()) }
	}
	if settings.oauth != nil {
		made.tokens = &tokens{core: made, settings: *settings.oauth}
	}
	return made, nil
}

// An API key would be sent to whatever host a redirect names.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// rootOf is the server's root: without /v1 and a slash at the end.
func rootOf(base string) (string, error) {
	if base == "" {
		return "", &InvalidArgumentError{Name: "base URL", Reason: "use WithBaseURL, or set AI_AGENTS_BASE_URL"}
	}
	parsed, err := url.Parse(base)
	if err != nil {
		return "", &InvalidArgumentError{Name: "base URL", Reason: "it is no URL"}
	}
	if parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return "", &InvalidArgumentError{Name: "base URL", Reason: "it has to begin with http:// or https:// and a host"}
	}
	if parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return "", &InvalidArgumentError{Name: "base URL", Reason: "it must have no user, query or fragment"}
	}
	return strings.TrimSuffix(strings.TrimRight(parsed.String(), "/"), "/v1"), nil
}

// String shows where the client sends its requests, and no credentials.
func (c Client) String() string {
	if c.core == nil {
		return "aiagents.Client{}"
	}
	return "aiagents.Client{" + c.core.root + "}"
}

// GoString is the same.
func (c Client) GoString() string { return c.String() }

var errNoClient = errors.New("aiagents: make a client by NewClient")
