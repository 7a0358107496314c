package aiagents

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// A token is renewed so long before its end, but at most a tenth of its life.
	renewBefore = time.Minute
	tokenLimit  = 2 * time.Minute
)

type oauthSettings struct {
	clientID     string
	clientSecret string
	scopes       []string
	refreshToken string
	store        func(string)
}

// tokens fetches access tokens, one at a time for all goroutines.
type tokens struct {
	core     *core
	settings oauthSettings

	lock    sync.Mutex
	current string
	renewAt time.Time
	flight  *flight
}

type flight struct {
	done  chan struct{}
	token string
	err   error
}

// get gives a token that is not `stale` and lives a while.
func (t *tokens) get(ctx context.Context, stale string) (string, error) {
	t.lock.Lock()
	if t.current != "" && t.current != stale && time.Now().Before(t.renewAt) {
		defer t.lock.Unlock()
		return t.current, nil
	}
	if t.flight == nil {
		t.flight = &flight{done: make(chan struct{})}
		go t.fetch(context.WithoutCancel(ctx), t.flight) // others wait for it too
	}
	waiting := t.flight
	t.lock.Unlock()
	select {
	case <-waiting.done:
		return waiting.token, waiting.err
	case <-ctx.Done():
		return "", &ConnectionError{Err: ctx.Err(), timeout: errors.Is(ctx.Err(), context.DeadlineExceeded), text: "given up while waiting for a token: " + ctx.Err().Error()}
	}
}

func (t *tokens) fetch(ctx context.Context, into *flight) {
	ctx, cancel := context.WithTimeout(ctx, tokenLimit)
	defer cancel()
	made, err := t.ask(ctx)
	t.lock.Lock()
	defer t.lock.Unlock()
	t.flight = nil
	into.err = err
	if err == nil {
		into.token = made.AccessToken
		life := time.Duration(made.ExpiresIn * float64(time.Second))
		t.current, t.renewAt = made.AccessToken, time.Now().Add(life-min(renewBefore, life/10))
		if made.RefreshToken != "" && made.RefreshToken != t.settings.refreshToken {
			t.settings.refreshToken = made.RefreshToken
			if t.settings.store != nil {
				t.settings.store(made.RefreshToken)
			}
		}
	}
	close(into.done)
}

type tokenAnswer struct {
	AccessToken      string  `json:"access_token"`
	RefreshToken     string  `json:"refresh_token"`
	ExpiresIn        float64 `json:"expires_in"`
	Error            string  `json:"error"`
	ErrorDescription string  `json:"error_description"`
}

// ask fetches a token. A refresh token counts once, so it is sent again only if the server has not seen it, or said so.
func (t *tokens) ask(ctx context.Context) (*tokenAnswer, error) {
	form := url.Values{"client_id": {t.settings.clientID}, "grant_type": {"client_credentials"}}
	if t.settings.clientSecret != "" {
		form.Set("client_secret", t.settings.clientSecret)
	}
	if len(t.settings.scopes) > 0 {
		form.Set("scope", strings.Join(t.settings.scopes, " "))
	}
	if t.settings.refreshToken != "" {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", t.settings.refreshToken)
	}
	for attempt := 0; ; attempt++ {
		made, err := t.post(ctx, form)
		if err == nil {
			return made, nil
		}
		wait, again := t.core.again(err, attempt)
		if !again || attempt >= t.core.maxRetries || t.settings.refreshToken != "" && !unseen(err) {
			return nil, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// unseen tells whether the server did certainly not use up what was sent.
func unseen(err error) bool {
	var refused *APIError
	var network *net.OpError
	if errors.As(err, &refused) {
		return refused.StatusCode == http.StatusTooManyRequests || refused.StatusCode == http.StatusServiceUnavailable
	}
	return errors.As(err, &network) && network.Op == "dial"
}

func (t *tokens) post(ctx context.Context, form url.Values) (*tokenAnswer, error) {
	made := &prepared{request: request{verb: http.MethodPost, path: address{text: "/oauth/token"}}, call: call{timeout: t.core.timeout}}
	limited, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(made.timeout, func() { cancel(errTooLate) })
	defer cancel(nil)
	defer timer.Stop()
	sent, err := http.NewRequestWithContext(limited, http.MethodPost, t.core.root+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &InvalidArgumentError{Name: "base URL", Reason: err.Error()}
	}
	sent.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sent.Header.Set("Accept", jsonType)
	sent.Header.Set("User-Agent", "ai-agents-go/"+Version)
	response, err := t.core.httpClient.Do(sent)
	if err != nil {
		return nil, t.core.broken(limited, err, made)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, t.core.broken(limited, err, made)
	}
	t.core.logger.DebugContext(ctx, "aiagents: token", "status", response.StatusCode, "grant_type", form.Get("grant_type"))
	return read(&answer{status: response.StatusCode, header: response.Header, body: body})
}

func read(found *answer) (*tokenAnswer, error) {
	var made tokenAnswer
	err := json.Unmarshal(found.body, &made)
	switch {
	case found.status >= 400 && err == nil && made.Error != "":
		status := found.status
		if made.Error == "invalid_client" || made.Error == "invalid_grant" {
			status = http.StatusUnauthorized // the contract of OAuth allows 400 as well
		}
		text := strings.TrimSuffix(made.Error+": "+made.ErrorDescription, ": ")
		refused := &APIError{StatusCode: status, Message: text, RetryAfter: retryAfter(found.header)}
		refused.Response = Response{StatusCode: found.status, Header: found.header}
		return nil, refused
	case found.status >= 400:
		refused := refusal(found)
		refused.Response.Body = nil
		return nil, refused
	case err != nil || made.AccessToken == "":
		return nil, &InvalidResponseError{StatusCode: found.status, ContentType: found.contentType(), reason: "the answer has no access token"}
	}
	if made.ExpiresIn <= 0 {
		made.ExpiresIn = 300
	}
	return &made, nil
}
