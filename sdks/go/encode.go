package aiagents

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"
)

// ExtraFields are what the server sent beside the fields that this version of the SDK knows; and null for a field that it
// should have sent and did not, which has the zero value in the model.
type ExtraFields map[string]json.RawMessage

// address is a path with its values in it.
type address struct {
	text string
	err  error
}

// route puts values into a pattern, percent-encoded; each {} is the place of one.
func route(pattern string, values ...string) address {
	parts := strings.Split(pattern, "{}")
	text := parts[0]
	for index, value := range values {
		if value == "" || value == "." || value == ".." {
			return address{err: &InvalidArgumentError{Name: "path", Reason: fmt.Sprintf("%q cannot stand in %s", value, pattern)}}
		}
		text += escaped(value) + parts[index+1]
	}
	return address{text: text}
}

func escaped(value string) string {
	var text strings.Builder
	for _, one := range []byte(value) {
		if 'a' <= one && one <= 'z' || 'A' <= one && one <= 'Z' || '0' <= one && one <= '9' || strings.IndexByte("-._~", one) >= 0 {
			text.WriteByte(one)
		} else {
			fmt.Fprintf(&text, "%%%02X", one)
		}
	}
	return text.String()
}

// collect takes a params struct apart: what is for the query, and what is for the body.
func collect(params any) (url.Values, map[string]any, error) {
	query, body := url.Values{}, map[string]any{}
	if params == nil {
		return query, body, nil
	}
	value := reflect.ValueOf(params)
	for index := range value.NumField() {
		field := value.Type().Field(index)
		sent := value.Field(index).Interface()
		if one, ok := sent.(optional); ok {
			var given bool
			if sent, given = one.sent(); !given {
				continue
			}
		}
		if name := field.Tag.Get("body"); name != "" {
			if assumed := field.Tag.Get("assumed"); assumed != "" && sent == "" {
				sent = assumed
			}
			body[name] = sent
		} else if name := field.Tag.Get("query"); name != "" && sent != nil {
			addQuery(query, name, sent)
		}
	}
	return query, body, nil
}

// askForApproval asks others to approve production where there are no notes: the API refuses it otherwise.
func askForApproval(body map[string]any) {
	_, noted := body["approval_notes"]
	_, asked := body["request_approval"]
	if body["environment"] == EnvironmentNameProduction && !noted && !asked {
		body["request_approval"] = true
	}
}

func addQuery(query url.Values, name string, value any) {
	if at, ok := value.(time.Time); ok {
		query.Add(name, at.Format(time.RFC3339Nano))
		return
	}
	if list := reflect.ValueOf(value); list.Kind() == reflect.Slice {
		for index := range list.Len() {
			addQuery(query, name, list.Index(index).Interface())
		}
		return
	}
	query.Add(name, fmt.Sprint(value))
}

// readObject reads an object, and keeps the fields that its type does not know.
func readObject(data []byte, plain any, extra *ExtraFields) error {
	if err := json.Unmarshal(data, plain); err != nil {
		return err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for _, field := range fieldsOf(reflect.TypeOf(plain).Elem()) {
		sent, found := all[field.name]
		delete(all, field.name)
		if field.always && (!found || string(sent) == "null") && all != nil {
			all[field.name] = json.RawMessage("null")
		}
	}
	*extra = nil
	if len(all) > 0 {
		*extra = all
	}
	return nil
}

// writeObject is the reverse of readObject.
func writeObject(plain any, extra ExtraFields) ([]byte, error) {
	data, err := json.Marshal(plain)
	if err != nil || len(extra) == 0 {
		return data, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for name, value := range extra {
		if known, found := all[name]; !found || isZero(known) {
			all[name] = value
		}
	}
	return json.Marshal(all)
}

// isZero tells whether a field was not set after it was read: then it is still what the server said.
func isZero(value json.RawMessage) bool {
	switch string(value) {
	case `""`, "0", "false", `"0001-01-01T00:00:00Z"`:
		return true
	}
	return value[0] == '{'
}

type knownField struct {
	name   string
	always bool // it is no pointer, list or map, so it cannot be nothing
}

var knownFields sync.Map // reflect.Type: []knownField

func fieldsOf(kind reflect.Type) []knownField {
	if found, ok := knownFields.Load(kind); ok {
		return found.([]knownField)
	}
	fields := make([]knownField, 0, kind.NumField())
	for index := range kind.NumField() {
		name, options, _ := strings.Cut(kind.Field(index).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		field := knownField{name: name}
		switch kind.Field(index).Type.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		default:
			field.always = options == ""
		}
		fields = append(fields, field)
	}
	knownFields.Store(kind, fields)
	return fields
}
