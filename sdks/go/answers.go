package aiagents

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"strings"
)

type envelope struct {
	Data       json.RawMessage `json:"data"`
	Pagination json.RawMessage `json:"pagination"`
}

// enveloped sends a request whose answer is an envelope with data.
func (c *core) enveloped(ctx context.Context, r request, options []CallOption) (*answer, envelope, error) {
	var found envelope
	got, err := c.send(ctx, r, options)
	if err != nil {
		return nil, found, err
	}
	if err := isJSON(got); err != nil {
		return nil, found, err
	}
	if json.Unmarshal(got.body, &found) != nil || found.Data == nil {
		return nil, found, invalid(got, "the answer is cut off or no JSON of the API")
	}
	return got, found, nil
}

func isJSON(got *answer) error {
	kind, _, _ := strings.Cut(got.contentType(), ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if kind != jsonType && !strings.HasSuffix(kind, "+json") {
		return invalid(got, "the answer is no JSON")
	}
	return nil
}

func decode[T any](got *answer, data []byte) (*T, error) {
	var made T
	if err := json.Unmarshal(data, &made); err != nil {
		return nil, invalid(got, "the answer does not fit: "+err.Error())
	}
	return &made, nil
}

func getData[T any](ctx context.Context, c *core, r request, options []CallOption) (*T, error) {
	got, found, err := c.enveloped(ctx, r, options)
	if err != nil {
		return nil, err
	}
	return decode[T](got, found.Data)
}

func getList[T any](ctx context.Context, c *core, r request, options []CallOption) ([]T, error) {
	found, err := getData[[]T](ctx, c, r, options)
	if err != nil {
		return nil, err
	}
	return *found, nil
}

// getBare reads an answer without an envelope.
func getBare[T any](ctx context.Context, c *core, r request, options []CallOption) (*T, error) {
	got, err := c.send(ctx, r, options)
	if err != nil {
		return nil, err
	}
	if err := isJSON(got); err != nil {
		return nil, err
	}
	return decode[T](got, got.body)
}

// getDeployment reads a deployment, or the one that an accepted operation is of.
func getDeployment(ctx context.Context, c *core, r request, options []CallOption) (*Deployment, error) {
	got, found, err := c.enveloped(ctx, r, options)
	if err != nil {
		return nil, err
	}
	if got.status != http.StatusAccepted {
		return decode[Deployment](got, found.Data)
	}
	accepted, err := decode[AcceptedOperation](got, found.Data)
	if err != nil {
		return nil, err
	}
	return c.deployment(ctx, accepted.ResourceID)
}

func (c *core) deployment(ctx context.Context, id string) (*Deployment, error) {
	return getData[Deployment](ctx, c, request{verb: http.MethodGet, name: "deployments.get", path: route("/deployments/{}", id)}, nil)
}

// getEither reads a 200, or a 202 with something else in it.
func getEither[D, P any](ctx context.Context, c *core, r request, options []CallOption) (*Outcome[D, P], error) {
	got, found, err := c.enveloped(ctx, r, options)
	if err != nil {
		return nil, err
	}
	if got.status == http.StatusAccepted {
		pending, err := decode[P](got, found.Data)
		return &Outcome[D, P]{Pending: pending}, err
	}
	done, err := decode[D](got, found.Data)
	return &Outcome[D, P]{Done: done}, err
}

func (c *core) nothing(ctx context.Context, r request, options []CallOption) error {
	_, err := c.send(ctx, r, options)
	return err
}

// document is JSON of another kind than the API's, as it is.
func (c *core) document(ctx context.Context, r request, options []CallOption) (json.RawMessage, error) {
	r.accept = "application/json, application/*+json;q=0.9, */*;q=0.1"
	got, err := c.send(ctx, r, options)
	if err != nil {
		return nil, err
	}
	if err := isJSON(got); err != nil {
		return nil, err
	}
	if !json.Valid(got.body) {
		return nil, invalid(got, "the answer is cut off")
	}
	return bytes.TrimSpace(got.body), nil
}

func (c *core) text(ctx context.Context, r request, options []CallOption) (string, error) {
	r.accept = "text/plain"
	got, err := c.send(ctx, r, options)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(got.contentType(), "text/plain") {
		return "", invalid(got, "the answer is no log")
	}
	return string(got.body), nil
}

// Page is a part of a list.
type Page[T any] struct {
	Data       []T
	Pagination Pagination
	next       func(ctx context.Context) (*Page[T], error)
}

// HasNextPage tells whether there is more.
func (p *Page[T]) HasNextPage() bool { return p.Pagination.HasNext }

// NextPage asks for the next one; the error is [ErrNoNextPage] if there is none.
func (p *Page[T]) NextPage(ctx context.Context) (*Page[T], error) {
	if !p.HasNextPage() {
		return nil, ErrNoNextPage
	}
	return p.next(ctx)
}

// All are the items of this page and of all later ones, which are asked for as the loop gets there.
func (p *Page[T]) All(ctx context.Context) iter.Seq2[T, error] {
	return allPages(ctx, func() (*Page[T], error) { return p, nil })
}

func allPages[T any](ctx context.Context, first func() (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		page, err := first()
		for {
			if err != nil {
				yield(none, err)
				return
			}
			for _, item := range page.Data {
				if !yield(item, nil) {
					return
				}
			}
			if !page.HasNextPage() {
				return
			}
			page, err = page.next(ctx)
		}
	}
}

func getPage[T any](ctx context.Context, c *core, r request, options []CallOption) (*Page[T], error) {
	got, found, err := c.enveloped(ctx, r, options)
	if err != nil {
		return nil, err
	}
	items, err := decode[[]T](got, found.Data)
	if err != nil {
		return nil, err
	}
	if found.Pagination == nil {
		return nil, invalid(got, "the answer has no pagination")
	}
	pagination, err := decode[Pagination](got, found.Pagination)
	if err != nil {
		return nil, err
	}
	after := nextOf(*pagination)
	if pagination.HasNext && len(after) == 0 || len(after) > 0 && after["cursor"] != "" && after["cursor"] == r.query["cursor"] {
		return nil, invalid(got, "the answer does not say what the next page is")
	}
	next := func(ctx context.Context) (*Page[T], error) {
		again := r
		again.query = after
		return getPage[T](ctx, c, again, options)
	}
	return &Page[T]{Data: *items, Pagination: *pagination, next: next}, nil
}

// nextOf is what the query of the next page says: its cursor, or else its number.
func nextOf(at Pagination) map[string]string {
	if at.NextCursor != nil && *at.NextCursor != "" {
		return map[string]string{"cursor": *at.NextCursor, "page": ""}
	}
	if at.Page != nil {
		return map[string]string{"page": strconv.Itoa(*at.Page + 1), "cursor": ""}
	}
	return nil
}
