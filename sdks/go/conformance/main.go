// The runner of the conformance suite (sdks/conformance/PROTOCOL.md): a command a line on stdin, an answer a line on stdout.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	aiagents "github.com/ai-agents/sdk"
)

type object = map[string]any

type command struct {
	Do          string                     `json:"do"`
	Name        string                     `json:"name"`
	Client      string                     `json:"client"`
	Method      string                     `json:"method"`
	Arguments   map[string]json.RawMessage `json:"arguments"`
	Options     options                    `json:"options"`
	Calls       []command                  `json:"calls"`
	Limit       *int                       `json:"limit"`
	Page        string                     `json:"page"`
	Operation   string                     `json:"operation"`
	OperationID string                     `json:"operation_id"`
	Timeout     *float64                   `json:"timeout"`
	Poll        *float64                   `json:"poll_interval"`
	Payload     string                     `json:"payload"`
	Headers     map[string]string          `json:"headers"`
	Secrets     []string                   `json:"secrets"`
	Tolerance   *float64                   `json:"tolerance"`
	Now         *float64                   `json:"now"`
}

type options struct {
	BaseURL         *string           `json:"base_url"`
	APIKey          *string           `json:"api_key"`
	Token           *string           `json:"token"`
	TokenFunction   *string           `json:"token_function"`
	ClientID        *string           `json:"client_id"`
	ClientSecret    *string           `json:"client_secret"`
	Scope           *string           `json:"scope"`
	RefreshToken    *string           `json:"refresh_token"`
	FromEnvironment bool              `json:"from_environment"`
	Timeout         *float64          `json:"timeout"`
	MaxRetries      *int              `json:"max_retries"`
	ExtraHeaders    map[string]string `json:"extra_headers"`
	IdempotencyKey  *string           `json:"idempotency_key"`
}

type runner struct {
	lock       sync.Mutex
	clients    map[string]*aiagents.Client
	pages      map[string]reflect.Value
	operations map[string]*aiagents.OperationHandle
	warnings   []string
	logs       bytes.Buffer
}

// unsupported is what this SDK has no words for.
type unsupported struct{ reason string }

func (u *unsupported) Error() string { return u.reason }

func main() {
	run := &runner{clients: map[string]*aiagents.Client{}, pages: map[string]reflect.Value{}, operations: map[string]*aiagents.OperationHandle{}}
	input := bufio.NewReader(os.Stdin)
	for {
		line, err := input.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var told command
			var answer object
			if broken := json.Unmarshal(line, &told); broken != nil {
				answer = failed(&unsupported{broken.Error()})
			} else {
				answer = run.answer(told)
			}
			text, _ := json.Marshal(answer)
			fmt.Println(string(text))
			if told.Do == "end" {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (r *runner) answer(told command) (answer object) {
	defer func() {
		if lost := recover(); lost != nil {
			answer = failed(&unsupported{fmt.Sprint(lost)})
		}
	}()
	found, err := r.do(told)
	if err != nil {
		return failed(err)
	}
	found["ok"] = true
	return found
}

func (r *runner) do(told command) (object, error) {
	switch told.Do {
	case "hello":
		return object{"language": "go", "version": aiagents.Version}, nil
	case "client":
		return object{}, r.client(told)
	case "call":
		return r.call(told)
	case "next_page":
		return r.nextPage(told)
	case "iterate":
		return r.values(told, "All")
	case "lines":
		return r.values(told, "")
	case "raw":
		return r.raw(told)
	case "concurrently":
		return r.concurrently(told)
	case "resume":
		client, err := r.known(told.Client)
		if err != nil {
			return nil, err
		}
		return r.operation(client.Operations.Resume(told.OperationID)), nil
	case "wait", "result", "cancel", "refresh":
		return r.waited(told)
	case "webhook":
		return webhook(told)
	case "warnings":
		r.lock.Lock()
		defer r.lock.Unlock()
		found := append([]string{}, r.warnings...)
		r.warnings = nil
		return object{"values": found}, nil
	case "logs":
		r.lock.Lock()
		defer r.lock.Unlock()
		text := r.logs.String()
		r.logs.Reset()
		return object{"value": text}, nil
	case "repr":
		client, err := r.known(told.Client)
		if err != nil {
			return nil, err
		}
		return object{"value": fmt.Sprintf("%+v %#v %v %s", client, client, *client, client)}, nil
	case "end":
		return object{}, nil
	}
	return nil, &unsupported{"no such command: " + told.Do}
}

// Write is the log's; the runner reads it from another goroutine.
func (r *runner) Write(data []byte) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return r.logs.Write(data)
}

func (r *runner) client(told command) error {
	made := []aiagents.ClientOption{
		aiagents.WithLogger(slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}))),
		aiagents.WithDeprecationHandler(func(told aiagents.Deprecation) {
			r.lock.Lock()
			defer r.lock.Unlock()
			r.warnings = append(r.warnings, told.String())
		}),
	}
	given := told.Options
	if given.BaseURL != nil {
		made = append(made, aiagents.WithBaseURL(*given.BaseURL))
	}
	if given.APIKey != nil {
		made = append(made, aiagents.WithAPIKey(*given.APIKey))
	}
	if given.Token != nil {
		made = append(made, aiagents.WithToken(*given.Token))
	}
	if given.TokenFunction != nil {
		made = append(made, aiagents.WithTokenFunc(func(context.Context) (string, error) { return *given.TokenFunction, nil }))
	}
	if given.RefreshToken != nil {
		made = append(made, aiagents.WithRefreshToken(text(given.ClientID), text(given.ClientSecret), *given.RefreshToken, nil))
	} else if given.ClientID != nil {
		made = append(made, aiagents.WithClientCredentials(*given.ClientID, text(given.ClientSecret), strings.Fields(text(given.Scope))...))
	}
	for _, one := range given.both() {
		made = append(made, one)
	}
	client, err := aiagents.NewClient(made...)
	if err == nil {
		r.clients[told.Name] = client
	}
	return err
}

// both are the options that clients and calls have.
func (o options) both() []aiagents.Option {
	var made []aiagents.Option
	if o.Timeout != nil {
		made = append(made, aiagents.WithTimeout(seconds(o.Timeout)))
	}
	if o.MaxRetries != nil {
		made = append(made, aiagents.WithMaxRetries(*o.MaxRetries))
	}
	for name, value := range o.ExtraHeaders {
		made = append(made, aiagents.WithHeader(name, value))
	}
	return made
}

func (r *runner) known(name string) (*aiagents.Client, error) {
	client, found := r.clients[name]
	if !found {
		return nil, &unsupported{"no such client: " + name}
	}
	return client, nil
}

// invoke calls a method by its name in the API; `name` is its name here, if it is another one.
func (r *runner) invoke(told command, name string, more ...aiagents.CallOption) ([]reflect.Value, error) {
	client, err := r.known(told.Client)
	if err != nil {
		return nil, err
	}
	known, found := methods[told.Method]
	if !found {
		return nil, &unsupported{"no such method: " + told.Method}
	}
	if name == "" {
		name = known.name
	}
	function := reflect.ValueOf(known.service(client)).MethodByName(name)
	if !function.IsValid() {
		return nil, &unsupported{"no such method: " + told.Method + " as " + name}
	}
	kind := function.Type()
	given := []reflect.Value{reflect.ValueOf(context.Background())}
	rest := map[string]json.RawMessage{}
	for key, value := range told.Arguments {
		rest[key] = value
	}
	for _, parameter := range known.path {
		var value string
		if rest[parameter] != nil {
			if err := json.Unmarshal(rest[parameter], &value); err != nil {
				return nil, &unsupported{parameter + " is no text"}
			}
		}
		delete(rest, parameter)
		given = append(given, reflect.ValueOf(value))
	}
	options := append([]aiagents.CallOption{}, more...)
	for _, one := range told.Options.both() {
		options = append(options, one)
	}
	if told.Options.IdempotencyKey != nil {
		options = append(options, aiagents.WithIdempotencyKey(*told.Options.IdempotencyKey))
	}
	for argument, option := range map[string]func(string) aiagents.CallOption{"if_match": aiagents.WithIfMatch, "if_none_match": aiagents.WithIfNoneMatch} {
		var value string
		if rest[argument] != nil && json.Unmarshal(rest[argument], &value) == nil && value != "" {
			options = append(options, option(value))
		}
		delete(rest, argument)
	}
	if kind.NumIn() > len(given)+1 {
		params := reflect.New(kind.In(len(given))).Elem()
		if err := fill(params, rest); err != nil {
			return nil, err
		}
		given = append(given, params)
	}
	for argument := range rest {
		if argument != "follow" {
			return nil, &unsupported{"no such argument: " + argument}
		}
	}
	for _, one := range options {
		given = append(given, reflect.ValueOf(one))
	}
	out := function.Call(given)
	if last := out[len(out)-1]; last.Type().Implements(reflect.TypeFor[error]()) && !last.IsNil() {
		return nil, last.Interface().(error)
	}
	return out, nil
}

func fill(params reflect.Value, from map[string]json.RawMessage) error {
	for index := range params.NumField() {
		tag := params.Type().Field(index).Tag
		name := tag.Get("body") + tag.Get("query")
		if value, given := from[name]; given {
			delete(from, name)
			if err := json.Unmarshal(value, params.Field(index).Addr().Interface()); err != nil {
				return &unsupported{name + ": " + err.Error()}
			}
		}
	}
	return nil
}

func (r *runner) call(told command) (object, error) {
	name := ""
	if strings.HasSuffix(told.Method, ".logs") && told.Method != "deployments.logs" {
		for _, argument := range []string{"step", "offset", "limit"} {
			if told.Arguments[argument] != nil {
				name = "LogsText"
			}
		}
	}
	out, err := r.invoke(told, name)
	if errors.Is(err, aiagents.ErrNotModified) {
		return object{"value": nil}, nil
	}
	if err != nil {
		return nil, err
	}
	return r.shown(out[0])
}

func (r *runner) shown(value reflect.Value) (object, error) {
	if handle, ok := value.Interface().(*aiagents.OperationHandle); ok {
		return r.operation(handle), nil
	}
	if value.Kind() == reflect.Pointer && strings.HasPrefix(value.Type().Elem().Name(), "Page[") {
		return r.page(value), nil
	}
	if value.Kind() == reflect.Pointer && strings.HasPrefix(value.Type().Elem().Name(), "Outcome[") {
		if done := value.Elem().FieldByName("Done"); !done.IsNil() {
			return object{"value": done.Interface()}, nil
		}
		return object{"value": value.Elem().FieldByName("Pending").Interface()}, nil
	}
	if value.Type().Implements(reflect.TypeFor[error]()) {
		return object{"value": nil}, nil
	}
	return object{"value": value.Interface()}, nil
}

func (r *runner) page(page reflect.Value) object {
	r.lock.Lock()
	defer r.lock.Unlock()
	name := fmt.Sprintf("p%d", len(r.pages)+1)
	r.pages[name] = page
	pagination := page.Elem().FieldByName("Pagination").Interface().(aiagents.Pagination)
	value := object{"data": page.Elem().FieldByName("Data").Interface(), "has_next_page": pagination.HasNext, "total": pagination.Total}
	return object{"value": value, "page": name}
}

func (r *runner) nextPage(told command) (object, error) {
	page, found := r.pages[told.Page]
	if !found {
		return nil, &unsupported{"no such page: " + told.Page}
	}
	out := page.MethodByName("NextPage").Call([]reflect.Value{reflect.ValueOf(context.Background())})
	if !out[1].IsNil() {
		return nil, out[1].Interface().(error)
	}
	return r.page(out[0]), nil
}

func (r *runner) values(told command, suffix string) (object, error) {
	name := methods[told.Method].name + suffix
	if strings.HasSuffix(told.Method, ".logs") {
		name = "FollowLogs"
	}
	out, err := r.invoke(told, name)
	if err != nil {
		return nil, err
	}
	values := []any{}
	for value, failure := range out[0].Seq2() {
		if !failure.IsNil() {
			return nil, failure.Interface().(error)
		}
		values = append(values, value.Interface())
		if told.Limit != nil && len(values) >= *told.Limit {
			break
		}
	}
	return object{"values": values}, nil
}

func (r *runner) raw(told command) (object, error) {
	var response aiagents.Response
	if _, err := r.invoke(told, "", aiagents.WithResponse(&response)); err != nil && !errors.Is(err, aiagents.ErrNotModified) {
		return nil, err
	}
	headers := map[string]string{}
	for name, values := range response.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return object{"status": response.StatusCode, "headers": headers, "body": string(response.Body)}, nil
}

func (r *runner) concurrently(told command) (object, error) {
	answers := make([]object, len(told.Calls))
	var all sync.WaitGroup
	for index, one := range told.Calls {
		one.Do = "call"
		all.Add(1)
		go func() {
			defer all.Done()
			answers[index] = r.answer(one)
		}()
	}
	all.Wait()
	return object{"answers": answers}, nil
}

func (r *runner) operation(handle *aiagents.OperationHandle) object {
	r.lock.Lock()
	defer r.lock.Unlock()
	name := fmt.Sprintf("o%d", len(r.operations)+1)
	r.operations[name] = handle
	return object{"operation": name, "operation_id": handle.ID(), "status": handle.Status(), "done": handle.Done(), "deployment_id": handle.DeploymentID()}
}

func (r *runner) waited(told command) (object, error) {
	handle, found := r.operations[told.Operation]
	if !found {
		return nil, &unsupported{"no such operation: " + told.Operation}
	}
	ctx := context.Background()
	progress := []int{}
	params := aiagents.WaitParams{
		Timeout: seconds(told.Timeout), PollInterval: seconds(told.Poll),
		OnProgress: func(seen aiagents.Operation) { progress = append(progress, seen.ProgressPercent) },
	}
	var value any
	var err error
	switch told.Do {
	case "wait":
		value, err = handle.Wait(ctx, params)
	case "result":
		value, err = handle.Result(ctx, params)
	case "cancel":
		value, err = handle.Cancel(ctx, aiagents.OperationCancelParams{})
	default:
		value, err = handle.Refresh(ctx)
	}
	return object{"value": value, "progress": progress, "status": handle.Status(), "done": handle.Done()}, err
}

func webhook(told command) (object, error) {
	header := http.Header{}
	for name, value := range told.Headers {
		header[name] = []string{value}
	}
	var made []aiagents.VerifyOption
	if told.Tolerance != nil {
		made = append(made, aiagents.WithTolerance(seconds(told.Tolerance)))
	}
	if told.Now != nil {
		made = append(made, aiagents.WithClock(func() time.Time { return time.Unix(int64(*told.Now), 0) }))
	}
	event, err := aiagents.VerifyWebhook([]byte(told.Payload), header, told.Secrets, made...)
	return object{"value": event}, err
}

func failed(err error) object {
	told := object{"message": err.Error()}
	var no *unsupported
	classes := aiagents.Classes(err)
	switch {
	case errors.As(err, &no):
		told["class"] = "Unsupported"
	case len(classes) > 0:
		told["class"], told["classes"] = classes[0], classes
	default:
		told["class"] = fmt.Sprintf("%T", err)
	}
	var refused *aiagents.APIError
	if errors.As(err, &refused) {
		told["status"], told["details"] = refused.StatusCode, refused.Details
		told["request_id"] = refused.RequestID
		if refused.Code != "" {
			told["code"] = refused.Code
		}
		if refused.RetryAfter > 0 {
			told["retry_after"] = refused.RetryAfter.Seconds()
		}
	}
	var invalid *aiagents.InvalidResponseError
	if errors.As(err, &invalid) {
		told["status"] = invalid.StatusCode
	}
	var ended *aiagents.OperationFailedError
	if errors.As(err, &ended) {
		told["code"], told["steps"], told["operation_id"] = ended.Code, ended.Steps, ended.Operation.OperationID
	}
	var late *aiagents.OperationTimeoutError
	if errors.As(err, &late) {
		told["operation_id"] = late.OperationID
	}
	return object{"ok": false, "error": told}
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}

func seconds(value *float64) time.Duration {
	if value == nil {
		return 0
	}
	return time.Duration(*value * float64(time.Second))
}
