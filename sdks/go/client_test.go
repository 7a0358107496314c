package aiagents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	aiagents "github.com/ai-agents/sdk"
)

type handler = func(http.ResponseWriter, *http.Request)

// served is a server that answers each request by the next handler; the last one stays.
func served(t *testing.T, handlers ...handler) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := int(count.Add(1)) - 1
		handlers[min(at, len(handlers)-1)](w, r)
	}))
	t.Cleanup(server.Close)
	return server, &count
}

func client(t *testing.T, server *httptest.Server, options ...aiagents.ClientOption) *aiagents.Client {
	t.Helper()
	made, err := aiagents.NewClient(append([]aiagents.ClientOption{aiagents.WithBaseURL(server.URL), aiagents.WithAPIKey("top-secret")}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func says(status int, body string, headers ...string) handler {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for at := 0; at < len(headers); at += 2 {
			w.Header().Set(headers[at], headers[at+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func refuses(status int, code string, headers ...string) handler {
	body := fmt.Sprintf(`{"success":false,"status":%d,"error":{"code":%q,"message":"no","details":[{"field":"slug","message":"taken","pointer":null,"code":"fact"}]},"meta":{"request_id":"r1"}}`, status, code)
	return says(status, body, headers...)
}

const project = `{"success":true,"status":200,"data":{"id":"p1","name":"Shop","status":"frozen","created_at":"2026-01-01T00:00:00Z","colour":"red"},"meta":{}}`

func page(next string, more bool, names ...string) string {
	items := make([]string, len(names))
	for at, name := range names {
		items[at] = fmt.Sprintf(`{"id":%q,"name":%q}`, name, name)
	}
	cursor := "null"
	if next != "" {
		cursor = fmt.Sprintf("%q", next)
	}
	return fmt.Sprintf(`{"success":true,"data":[%s],"pagination":{"page":1,"page_size":2,"total":5,"pages":3,"has_next":%t,"has_prev":false,"total_is_estimate":false,"next_cursor":%s,"prev_cursor":null}}`,
		strings.Join(items, ","), more, cursor)
}

func TestWhatANewerServerSaysIsKept(t *testing.T) {
	server, _ := served(t, says(200, project))
	found, err := client(t, server).Projects.Get(context.Background(), "p1")
	if err != nil {
		t.Fatal(err)
	}
	if found.Status != "frozen" || string(found.ExtraFields["colour"]) != `"red"` {
		t.Fatalf("%+v", found)
	}
	text, err := json.Marshal(found)
	if err != nil || !bytes.Contains(text, []byte(`"colour":"red"`)) || !bytes.Contains(text, []byte(`"status":"frozen"`)) || !bytes.Contains(text, []byte(`"slug":null`)) {
		t.Fatal(string(text), err)
	}
}

func TestPathsAreEncodedAndEmptyOnesAreNotSent(t *testing.T) {
	var path string
	server, count := served(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.RequestURI
		says(200, project)(w, r)
	})
	for _, base := range []string{"", "/", "/v1", "/v1/"} {
		made := client(t, server, aiagents.WithBaseURL(server.URL+base))
		if _, err := made.Projects.Get(context.Background(), "a/b ü?"); err != nil || path != "/v1/projects/a%2Fb%20%C3%BC%3F" {
			t.Fatal(path, err)
		}
	}
	before := count.Load()
	for _, bad := range []string{"", ".", ".."} {
		var wrong *aiagents.InvalidArgumentError
		if _, err := client(t, server).Projects.Get(context.Background(), bad); !errors.As(err, &wrong) {
			t.Fatal(err)
		}
	}
	if count.Load() != before {
		t.Fatal("it was sent")
	}
}

func TestNullAndNothingAreDifferent(t *testing.T) {
	var body string
	server, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body = string(text)
		says(200, project)(w, r)
	})
	params := aiagents.ProjectUpdateParams{Description: aiagents.Null[string](), Name: aiagents.Set(""), TechStack: aiagents.Set([]string{})}
	if _, err := client(t, server).Projects.Update(context.Background(), "p1", params); err != nil || body != `{"description":null,"name":"","tech_stack":[]}` {
		t.Fatal(body, err)
	}
}

func TestAListIsWalkedByCursor(t *testing.T) {
	var asked []string
	pages := map[string]string{"": page("c1", true, "a", "b"), "c1": page("c2", true, "c", "d"), "c2": page("", false, "e")}
	server, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		says(200, pages[r.URL.Query().Get("cursor")])(w, r)
	})
	params := aiagents.ProjectListParams{PageSize: aiagents.Set(2), Status: aiagents.Set(aiagents.ProjectStatusActive)}
	names := ""
	for one, err := range client(t, server).Projects.ListAll(context.Background(), "o1", params) {
		if err != nil {
			t.Fatal(err)
		}
		names += one.Name
	}
	wanted := "[page_size=2&status=active cursor=c1&page_size=2&status=active cursor=c2&page_size=2&status=active]"
	if names != "abcde" || fmt.Sprint(asked) != wanted {
		t.Fatal(names, asked)
	}
}

func TestALoopThatEndsAsksForNoFurtherPage(t *testing.T) {
	server, count := served(t, says(200, page("c1", true, "a", "b")))
	for range client(t, server).Projects.ListAll(context.Background(), "o1", aiagents.ProjectListParams{}) {
		break
	}
	if count.Load() != 1 {
		t.Fatal(count.Load())
	}
}

func TestAPageThatIsItsOwnNextIsNoEndlessLoop(t *testing.T) {
	server, _ := served(t, says(200, page("c1", true, "a")))
	var last error
	for _, err := range client(t, server).Projects.ListAll(context.Background(), "o1", aiagents.ProjectListParams{}) {
		last = err
	}
	var wrong *aiagents.InvalidResponseError
	if !errors.As(last, &wrong) {
		t.Fatal(last)
	}
}

func TestErrorsHaveTheirStatusAndTheirCode(t *testing.T) {
	server, count := served(t, refuses(409, "DUPLICATE_SLUG"))
	_, err := client(t, server).Projects.Create(context.Background(), "o1", aiagents.ProjectCreateParams{})
	for _, wanted := range []error{aiagents.ErrDuplicateSlug, aiagents.ErrConflict, aiagents.ErrAIAgents} {
		if !errors.Is(err, wanted) {
			t.Fatal(err, wanted)
		}
	}
	var refused *aiagents.APIError
	if !errors.As(err, &refused) || refused.RequestID != "r1" || refused.Details[0].Field != "slug" || errors.Is(err, aiagents.ErrNotFound) {
		t.Fatal(err)
	}
	if fmt.Sprint(aiagents.Classes(err)) != "[DuplicateSlugError ConflictError APIError AIAgentsError]" || count.Load() != 1 {
		t.Fatal(aiagents.Classes(err), count.Load())
	}
}

func TestACodeOfANewerServerIsItsStatus(t *testing.T) {
	server, _ := served(t, refuses(422, "NEW_CODE"))
	err := client(t, server).Projects.Delete(context.Background(), "p1")
	if !errors.Is(err, aiagents.ErrUnprocessableContent) || fmt.Sprint(aiagents.Classes(err)) != "[UnprocessableContentError APIError AIAgentsError]" {
		t.Fatal(err)
	}
}

func TestWhatPassesIsTriedAgainWithOneKey(t *testing.T) {
	var keys []string
	again := func(inner handler) handler {
		return func(w http.ResponseWriter, r *http.Request) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			inner(w, r)
		}
	}
	server, count := served(t, again(refuses(503, "SERVICE_UNAVAILABLE")), again(refuses(409, "IDEMPOTENCY_IN_PROGRESS")), again(says(200, project)))
	if _, err := client(t, server).Projects.Create(context.Background(), "o1", aiagents.ProjectCreateParams{}); err != nil {
		t.Fatal(err)
	}
	if count.Load() != 3 || keys[0] == "" || keys[0] != keys[1] || keys[0] != keys[2] {
		t.Fatal(keys)
	}
}

func TestAnHourOfLimitIsNotWaitedFor(t *testing.T) {
	server, count := served(t, refuses(429, "RATE_LIMIT_EXCEEDED", "Retry-After", "3600"))
	_, err := client(t, server).Projects.Get(context.Background(), "p1")
	var refused *aiagents.APIError
	if !errors.As(err, &refused) || refused.RetryAfter != time.Hour || count.Load() != 1 || !strings.Contains(err.Error(), "1h0m0s") {
		t.Fatal(err)
	}
}

func TestARetryDateIsOfTheServersClock(t *testing.T) {
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	server, count := served(t,
		refuses(429, "RATE_LIMIT_EXCEEDED", "Date", now.Format(http.TimeFormat), "Retry-After", now.Add(time.Second).Format(http.TimeFormat)),
		says(200, project))
	if _, err := client(t, server).Projects.Get(context.Background(), "p1"); err != nil || count.Load() != 2 {
		t.Fatal(err)
	}
}

func TestATryThatTakesTooLongIsATimeout(t *testing.T) {
	held := make(chan struct{})
	server, count := served(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	defer close(held)
	_, err := client(t, server).Projects.Get(context.Background(), "p1", aiagents.WithTimeout(50*time.Millisecond), aiagents.WithMaxRetries(1))
	if !errors.Is(err, aiagents.ErrTimeout) || !errors.Is(err, aiagents.ErrConnection) || count.Load() != 2 {
		t.Fatal(err, count.Load())
	}
}

func TestTheCallersContextEndsItAll(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server, count := served(t, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := client(t, server).Projects.Get(ctx, "p1")
	if !errors.Is(err, context.Canceled) || !errors.Is(err, aiagents.ErrAIAgents) || count.Load() != 1 {
		t.Fatal(err, count.Load())
	}
}

func TestAProxysPageIsNoAnswer(t *testing.T) {
	html := "<html>" + strings.Repeat("x", 1000)
	server, count := served(t, says(200, html, "Content-Type", "text/html"))
	_, err := client(t, server).Projects.Get(context.Background(), "p1")
	var wrong *aiagents.InvalidResponseError
	if !errors.As(err, &wrong) || wrong.ContentType != "text/html" || len(wrong.Excerpt) != 200 || count.Load() != 1 {
		t.Fatal(err)
	}
	server, _ = served(t, says(200, project[:40]))
	if _, err := client(t, server).Projects.Get(context.Background(), "p1"); !errors.As(err, &wrong) {
		t.Fatal(err)
	}
	server, _ = served(t, says(403, html, "Content-Type", "text/html"))
	if _, err := client(t, server).Projects.Get(context.Background(), "p1"); !errors.Is(err, aiagents.ErrPermissionDenied) || !strings.Contains(err.Error(), "text/html") {
		t.Fatal(err)
	}
}

func TestAnAnswerThatIsCutOffIsAConnectionError(t *testing.T) {
	server, _ := served(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, project)
	})
	if _, err := client(t, server).Projects.Get(context.Background(), "p1", aiagents.WithMaxRetries(0)); !errors.Is(err, aiagents.ErrConnection) {
		t.Fatal(err)
	}
}

func TestARedirectIsNotFollowedWithTheKey(t *testing.T) {
	stranger, count := served(t, says(200, project))
	server, _ := served(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, stranger.URL, http.StatusFound) })
	_, err := client(t, server).Projects.Get(context.Background(), "p1")
	var wrong *aiagents.InvalidResponseError
	if !errors.As(err, &wrong) || count.Load() != 0 {
		t.Fatal(err)
	}
}

func TestOneTokenIsFetchedForAllAndRenewedOnce(t *testing.T) {
	var fetched atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/oauth/token", func(w http.ResponseWriter, r *http.Request) {
		number := fetched.Add(1)
		time.Sleep(20 * time.Millisecond)
		says(200, fmt.Sprintf(`{"access_token":"t%d","expires_in":3600}`, number))(w, r)
	})
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer t1" {
			refuses(401, "AUTHENTICATION_FAILED")(w, r)
			return
		}
		says(200, project)(w, r)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	made, err := aiagents.NewClient(aiagents.WithBaseURL(server.URL), aiagents.WithClientCredentials("id", "hidden"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			if _, err := made.Projects.Get(context.Background(), "p1"); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	if fetched.Load() != 2 {
		t.Fatal(fetched.Load())
	}
}

func TestAWrongClientIsSaidAsTheServerSaysIt(t *testing.T) {
	server, count := served(t, says(400, `{"error":"invalid_client","error_description":"unknown client"}`))
	made, err := aiagents.NewClient(aiagents.WithBaseURL(server.URL), aiagents.WithClientCredentials("id", "hidden"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = made.Projects.Get(context.Background(), "p1")
	if !errors.Is(err, aiagents.ErrAuthentication) || !strings.Contains(err.Error(), "unknown client") || count.Load() != 1 {
		t.Fatal(err)
	}
}

func TestSecretsAreInNoLogAndNoPicture(t *testing.T) {
	var log bytes.Buffer
	server, _ := served(t, refuses(400, "VALIDATION_ERROR"))
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	made := client(t, server, aiagents.WithLogger(logger))
	_, err := made.Secrets.Create(context.Background(), "p1", aiagents.SecretCreateParams{Name: "A", Value: "hidden-value"})
	text := log.String() + fmt.Sprintf("%v %+v %#v %s", made, *made, made, err)
	if !strings.Contains(log.String(), "/projects/p1/secrets") || strings.Contains(text, "top-secret") || strings.Contains(text, "hidden-value") {
		t.Fatal(text)
	}
}

func TestWhatIsDeprecatedIsSaidOnce(t *testing.T) {
	server, _ := served(t, says(200, `{"success":true,"data":[]}`, "Deprecation", "@1767225600", "Sunset", "Wed, 01 Jul 2026 00:00:00 GMT"))
	var told []string
	made := client(t, server, aiagents.WithDeprecationHandler(func(one aiagents.Deprecation) { told = append(told, one.String()) }))
	for range 2 {
		if _, err := made.Roles.List(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(told) != "[roles.list is deprecated since 2026-01-01 and stops working on 2026-07-01]" {
		t.Fatal(told)
	}
}

func TestAClientThatCannotBeSaysWhy(t *testing.T) {
	t.Setenv("AI_AGENTS_BASE_URL", "")
	var wrong *aiagents.InvalidArgumentError
	for _, options := range [][]aiagents.ClientOption{
		nil,
		{aiagents.WithBaseURL("ftp://x")},
		{aiagents.WithBaseURL("localhost:8080")},
		{aiagents.WithBaseURL("http://x"), aiagents.WithAPIKey("a"), aiagents.WithToken("b")},
		{aiagents.WithBaseURL("http://x"), aiagents.WithTimeout(0)},
		{aiagents.WithBaseURL("http://x"), aiagents.WithAPIKey("a\nX-Other: 1")},
	} {
		if _, err := aiagents.NewClient(options...); !errors.As(err, &wrong) {
			t.Fatal(err)
		}
	}
}

func TestATokenThatNoHeaderCanHaveIsNotSent(t *testing.T) {
	server, count := served(t, says(200, project))
	made, err := aiagents.NewClient(aiagents.WithBaseURL(server.URL), aiagents.WithToken("top-secret\n"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = made.Projects.Get(context.Background(), "p1")
	var wrong *aiagents.InvalidArgumentError
	if !errors.As(err, &wrong) || strings.Contains(err.Error(), "top-secret") || count.Load() != 0 {
		t.Fatal(err)
	}
}
