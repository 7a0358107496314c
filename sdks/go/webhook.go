package aiagents

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far the time of a webhook may be from ours.
const DefaultTolerance = 5 * time.Minute

// WebhookEvent is the body of a verified webhook.
type WebhookEvent struct {
	// Event is what happened, such as [WebhookEventTypeDeploymentCompleted]; empty if the body names none.
	Event WebhookEventType `json:"event"`
	// EventID is the same in every attempt: one that was seen before is a duplicate.
	EventID    string    `json:"event_id"`
	Timestamp  time.Time `json:"timestamp"`
	RetryCount int       `json:"retry_count"`
	// Raw is the body as it came.
	Raw json.RawMessage `json:"-"`
}

// MarshalJSON is the body as it came.
func (e WebhookEvent) MarshalJSON() ([]byte, error) { return e.Raw, nil }

// Decode reads the body into the model of its event, such as [DeploymentCompletedEvent].
func (e WebhookEvent) Decode(into any) error { return json.Unmarshal(e.Raw, into) }

// Typed reads the body into the model of its event: a *[DeploymentCompletedEvent] and so on; nil for an event that this
// version does not know.
func (e WebhookEvent) Typed() (any, error) {
	made := newEvent(e.Event)
	if made == nil {
		return nil, nil
	}
	return made, e.Decode(made)
}

// VerifyOption changes how webhooks are verified.
type VerifyOption func(*verification)

type verification struct {
	tolerance time.Duration
	now       func() time.Time
}

// WithTolerance is how far the time of a webhook may be from ours, in both directions.
func WithTolerance(tolerance time.Duration) VerifyOption {
	return func(v *verification) { v.tolerance = tolerance }
}

// WithClock says what time it is; for tests.
func WithClock(now func() time.Time) VerifyOption { return func(v *verification) { v.now = now } }

// VerifyWebhook verifies the signature and the time of a webhook, and reads it. Give the body as it came, byte by byte,
// and all secrets that count: while a secret is rotated, the old and the new one.
//
// The error is a [*WebhookVerificationError], or an [*InvalidArgumentError] for a secret that is none.
func VerifyWebhook(body []byte, header http.Header, secrets []string, options ...VerifyOption) (*WebhookEvent, error) {
	checked := verification{tolerance: DefaultTolerance, now: time.Now}
	for _, one := range options {
		one(&checked)
	}
	if len(secrets) == 0 {
		return nil, &InvalidArgumentError{Name: "secrets", Reason: "give the webhook's secret"}
	}
	var err error
	if signatures := headerOf(header, "webhook-signature"); signatures != "" {
		err = checked.standard(body, header, signatures, secrets)
	} else {
		err = contract(body, headerOf(header, "X-Signature-256"), secrets)
	}
	if err != nil {
		return nil, err
	}
	event := WebhookEvent{Raw: body}
	if !json.Valid(body) {
		return nil, &WebhookVerificationError{"the body is signed, but no JSON"}
	}
	_ = json.Unmarshal(body, &event) // of no known event: it is given as it is
	return &event, nil
}

// standard is the signature of Standard Webhooks, which has a time.
func (v verification) standard(body []byte, header http.Header, signatures string, secrets []string) error {
	id, sent := headerOf(header, "webhook-id"), headerOf(header, "webhook-timestamp")
	seconds, err := strconv.ParseInt(sent, 10, 64)
	if id == "" || err != nil {
		return &WebhookVerificationError{"webhook-id or webhook-timestamp is missing or malformed"}
	}
	if apart := v.now().Sub(time.Unix(seconds, 0)); apart.Abs() > v.tolerance {
		return &WebhookVerificationError{fmt.Sprintf("its time is %s from ours; is this machine's clock right?", apart.Abs().Round(time.Second))}
	}
	for _, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return err
		}
		wanted := digest(key, []byte(id+"."+sent+"."), body)
		for _, one := range strings.Fields(signatures) {
			version, text, _ := strings.Cut(one, ",")
			given, err := base64.StdEncoding.DecodeString(text)
			if version == "v1" && err == nil && hmac.Equal(given, wanted) {
				return nil
			}
		}
	}
	return &WebhookVerificationError{"no signature fits: another secret, or the body was changed"}
}

// contract is the contract's signature, whose key is the whole secret as text.
func contract(body []byte, signature string, secrets []string) error {
	text, found := strings.CutPrefix(signature, "sha256=")
	given, err := hex.DecodeString(text)
	if !found || err != nil {
		return &WebhookVerificationError{"there is neither webhook-signature nor X-Signature-256"}
	}
	for _, secret := range secrets {
		if secret == "" {
			return &InvalidArgumentError{Name: "secrets", Reason: "a secret is empty"}
		}
		if hmac.Equal(given, digest([]byte(secret), body)) {
			return nil
		}
	}
	return &WebhookVerificationError{"X-Signature-256 does not fit: another secret, or the body was changed"}
}

func keyOf(secret string) ([]byte, error) {
	text := strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "=")
	key, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, &InvalidArgumentError{Name: "secrets", Reason: "a secret is whsec_ and base64"}
	}
	return key, nil
}

func digest(key []byte, parts ...[]byte) []byte {
	sum := hmac.New(sha256.New, key)
	for _, part := range parts {
		sum.Write(part)
	}
	return sum.Sum(nil)
}

// headerOf finds a header in any case, also in a map that was not made by [net/http].
func headerOf(header http.Header, name string) string {
	for key, values := range header {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
