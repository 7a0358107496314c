package aiagents

import (
	"encoding/json"
	"fmt"
)

// Optional is a value that may be left out, which the zero value is; [Set] gives one, and [Null] gives the API's null.
type Optional[T any] struct {
	value T
	given bool
	null  bool
}

// Set is a given value.
func Set[T any](value T) Optional[T] { return Optional[T]{value: value, given: true} }

// Null is the API's null: it takes away what a field has.
func Null[T any]() Optional[T] { return Optional[T]{given: true, null: true} }

// Get tells the value, and whether there is one.
func (o Optional[T]) Get() (T, bool) { return o.value, o.given && !o.null }

// IsNull tells whether it was made by [Null].
func (o Optional[T]) IsNull() bool { return o.null }

// String is the value, `null` or nothing.
func (o Optional[T]) String() string {
	switch {
	case o.null:
		return "null"
	case o.given:
		return fmt.Sprint(o.value)
	default:
		return ""
	}
}

// UnmarshalJSON reads null as [Null].
func (o *Optional[T]) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*o = Null[T]()
		return nil
	}
	var value T
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	*o = Set(value)
	return nil
}

// sent tells what is written into a request: nil for null.
func (o Optional[T]) sent() (value any, given bool) {
	if o.null {
		return nil, true
	}
	return o.value, o.given
}

type optional interface{ sent() (any, bool) }

// Outcome is the answer of a method that is done at once, or waits for other people first: one of both is set.
type Outcome[D, P any] struct {
	Done    *D
	Pending *P
}
