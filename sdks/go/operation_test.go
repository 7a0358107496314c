package aiagents_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	aiagents "github.com/ai-agents/sdk"
)

func state(version, percent int, status string) string {
	return fmt.Sprintf(`{"operation_id":"op1","kind":"build_and_deploy","status":%q,"done":%t,"progress_percent":%d,"version":%d,"resource_id":"d1","steps":[{"name":"build","status":"failed","waited_seconds":0}],"error":%s,"created_at":"2026-01-01T00:00:00Z"}`,
		status, status == "completed" || status == "failed", percent, version,
		map[bool]string{true: `{"code":"BUILD_FAILED","message":"make: 2","details":[]}`, false: "null"}[status == "failed"])
}

func progress(version, percent int, status string) string {
	return fmt.Sprintf(": comment\n\nevent: progress\ndata: %s\nid: %d\n\n", state(version, percent, status), version)
}

// operations answers what a build and its deployment asks for; `streams` are the texts of its event streams, in turn.
func operations(t *testing.T, final string, streams ...string) (*aiagents.Client, *[]string) {
	t.Helper()
	var seen []string
	server, _ := served(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			says(202, `{"data":{"operation_id":"op1","status":"pending","resource_type":"deployment","resource_id":"d1","progress_url":"","poll_interval_seconds":0}}`)(w, r)
		case strings.HasSuffix(r.URL.Path, "/events"):
			seen = append(seen, "events "+r.Header.Get("Last-Event-ID"))
			if len(streams) == 0 {
				refuses(404, "RESOURCE_NOT_FOUND")(w, r)
				return
			}
			text := streams[0]
			streams = streams[1:]
			says(200, text, "Content-Type", "text/event-stream")(w, r)
		case strings.Contains(r.URL.Path, "/operations/"):
			seen = append(seen, "operation")
			says(200, `{"data":`+final+`}`)(w, r)
		default:
			seen = append(seen, "deployment")
			says(200, `{"data":{"id":"d1","status":"success"}}`)(w, r)
		}
	})
	return client(t, server), &seen
}

func start(t *testing.T, made *aiagents.Client) *aiagents.OperationHandle {
	t.Helper()
	params := aiagents.FeatureBuildAndDeployParams{Environment: aiagents.EnvironmentNameStaging, VersionTag: "1.0.0"}
	handle, err := made.Features.BuildAndDeploy(context.Background(), "f1", params)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

func TestAnOperationIsFollowedAndTakenUpWhereItsStreamBroke(t *testing.T) {
	made, seen := operations(t, "", progress(1, 10, "in_progress")+"event: progress\ndata: {\"half", progress(2, 50, "in_progress")+progress(3, 100, "completed"))
	handle := start(t, made)
	if handle.ID() != "op1" || handle.Status() != aiagents.OperationStatusPending || handle.Done() || handle.DeploymentID() != "d1" {
		t.Fatal(handle)
	}
	var percents []int
	deployment, err := handle.Result(context.Background(), aiagents.WaitParams{OnProgress: func(one aiagents.Operation) { percents = append(percents, one.ProgressPercent) }})
	if err != nil || deployment.ID != "d1" || fmt.Sprint(percents) != "[10 50 100]" || !handle.Done() {
		t.Fatal(err, percents)
	}
	if fmt.Sprint(*seen) != "[events  events 1 deployment]" {
		t.Fatal(*seen)
	}
}

func TestWhereThereAreNoEventsItIsPolled(t *testing.T) {
	made, seen := operations(t, state(9, 100, "completed"))
	if _, err := made.Operations.Resume("op1").Wait(context.Background(), aiagents.WaitParams{PollInterval: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(*seen) != "[events  operation]" {
		t.Fatal(*seen)
	}
}

func TestAFailureHasItsCodeAndItsSteps(t *testing.T) {
	made, _ := operations(t, "", progress(1, 10, "failed"))
	handle := start(t, made)
	if found, err := handle.Wait(context.Background(), aiagents.WaitParams{}); err != nil || found.Status != aiagents.OperationStatusFailed {
		t.Fatal(err)
	}
	_, err := handle.Result(context.Background(), aiagents.WaitParams{})
	var failed *aiagents.OperationFailedError
	if !errors.As(err, &failed) || failed.Code != "BUILD_FAILED" || len(failed.Steps) != 1 || !errors.Is(err, aiagents.ErrBuildFailed) {
		t.Fatal(err)
	}
}

func TestAWaitEndsAndTheOperationGoesOn(t *testing.T) {
	made, _ := operations(t, state(1, 10, "in_progress"))
	_, err := made.Operations.Resume("op1").Wait(context.Background(), aiagents.WaitParams{Timeout: 50 * time.Millisecond, PollInterval: time.Millisecond})
	var late *aiagents.OperationTimeoutError
	if !errors.As(err, &late) || late.OperationID != "op1" || !errors.Is(err, aiagents.ErrTimeout) {
		t.Fatal(err)
	}
}

func TestWhoLosesTheirAccessIsTold(t *testing.T) {
	made, _ := operations(t, "", progress(1, 10, "in_progress")+"event: closed\ndata: {\"code\": \"AUTHENTICATION_FAILED\", \"message\": \"the token has expired\"}\n\n")
	_, err := start(t, made).Wait(context.Background(), aiagents.WaitParams{})
	if !errors.Is(err, aiagents.ErrAuthentication) || !strings.Contains(err.Error(), "expired") {
		t.Fatal(err)
	}
}

func TestALogIsFollowedToItsEnd(t *testing.T) {
	log := "event: log\ndata: {\"lines\": [{\"step\": \"build\", \"text\": \"one\", \"new\": 1}, {\"step\": \"build\", \"text\": \"two\"}]}\nid: 7\n\n"
	server, _ := served(t, says(200, log, "Content-Type", "text/event-stream"), says(200, "event: end\ndata: {\"status\": \"success\"}\nid: 7\n\n", "Content-Type", "text/event-stream"))
	made := client(t, server)
	var lines []string
	for line, err := range made.Builds.FollowLogs(context.Background(), "b1", aiagents.BuildFollowLogsParams{}) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Step+" "+line.Text)
	}
	if fmt.Sprint(lines) != "[build one build two]" {
		t.Fatal(lines)
	}
}

func TestAnExportIsReadLineByLine(t *testing.T) {
	server, _ := served(t, says(200, "{\"id\":\"a\"}\n{\"id\":\"b\",\"new\":1}\n", "Content-Type", "application/x-ndjson"))
	var ids []string
	for entry, err := range client(t, server).AuditLog.Export(context.Background(), "o1", aiagents.AuditLogExportParams{}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, entry.ID)
	}
	if fmt.Sprint(ids) != "[a b]" {
		t.Fatal(ids)
	}
}
