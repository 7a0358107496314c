package aiagents_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"

	aiagents "github.com/ai-agents/sdk"
)

// The example of the specification of Standard Webhooks.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
)

func vector() http.Header {
	return http.Header{"webhook-id": {vectorID}, "webhook-timestamp": {"1614265330"}, "Webhook-Signature": {"v2,xx " + vectorSignature}}
}

func at(seconds int64) aiagents.VerifyOption {
	return aiagents.WithClock(func() time.Time { return time.Unix(seconds, 0) })
}

func TestTheVectorOfStandardWebhooksIsVerified(t *testing.T) {
	secrets := []string{"whsec_" + "AAAA" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", vectorSecret}
	event, err := aiagents.VerifyWebhook([]byte(vectorBody), vector(), secrets, at(vectorTime))
	if err != nil || string(event.Raw) != vectorBody {
		t.Fatal(err)
	}
	for _, apart := range []int64{-301, 301} {
		if _, err := aiagents.VerifyWebhook([]byte(vectorBody), vector(), secrets, at(vectorTime+apart)); !isWrong(err) {
			t.Fatal(apart, err)
		}
	}
	for _, body := range []string{vectorBody + " ", ""} {
		if _, err := aiagents.VerifyWebhook([]byte(body), vector(), secrets, at(vectorTime)); !isWrong(err) {
			t.Fatal(err)
		}
	}
	if _, err := aiagents.VerifyWebhook([]byte(vectorBody), http.Header{}, secrets); !isWrong(err) {
		t.Fatal(err)
	}
}

func isWrong(err error) bool {
	var wrong *aiagents.WebhookVerificationError
	return errors.As(err, &wrong) && errors.Is(err, aiagents.ErrAIAgents)
}

func TestTheContractsSignatureIsVerifiedAndItsEventRead(t *testing.T) {
	body := []byte(`{"event":"build.completed","event_id":"e1","timestamp":"2026-01-01T00:00:00Z","retry_count":2,"data":{"build":{"id":"b1","status":"success"}}}`)
	sum := hmac.New(sha256.New, []byte(vectorSecret))
	sum.Write(body)
	header := http.Header{"X-Signature-256": {"sha256=" + hex.EncodeToString(sum.Sum(nil))}}
	event, err := aiagents.VerifyWebhook(body, header, []string{vectorSecret})
	if err != nil {
		t.Fatal(err)
	}
	made, err := event.Typed()
	build, ok := made.(*aiagents.BuildCompletedEvent)
	if err != nil || !ok || build.Data.Build.ID != "b1" || event.Event != aiagents.WebhookEventTypeBuildCompleted || event.RetryCount != 2 {
		t.Fatal(event, err)
	}
}
