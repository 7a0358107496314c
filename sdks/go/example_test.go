package aiagents_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	aiagents "github.com/ai-agents/sdk"
)

// A server for the examples; yours is at AI_AGENTS_BASE_URL.
func exampleServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/missing"):
			refuses(404, "RESOURCE_NOT_FOUND")(w, r)
		case r.Method == http.MethodPost:
			says(201, `{"data":{"id":"r1","title":"Pay by card","status":"draft"}}`)(w, r)
		case r.URL.Query().Get("page") == "2":
			says(200, page("", false, "Blog"))(w, r)
		default:
			says(200, page("", true, "Shop", "Search"))(w, r)
		}
	}))
}

func Example() {
	server := exampleServer()
	defer server.Close()
	client, err := aiagents.NewClient(aiagents.WithBaseURL(server.URL), aiagents.WithAPIKey("key"))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	for project, err := range client.Projects.ListAll(ctx, "org-id", aiagents.ProjectListParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(project.Name)
	}

	requirement, err := client.Requirements.Create(ctx, "project-id", aiagents.RequirementCreateParams{
		Title:              "Pay by card",
		Description:        "Customers pay by card.",
		AcceptanceCriteria: []string{"A card is charged once"},
		Priority:           aiagents.Set(aiagents.PriorityHigh),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(requirement.Title, requirement.Status)

	_, err = client.Projects.Get(ctx, "missing")
	var refused *aiagents.APIError
	if errors.Is(err, aiagents.ErrNotFound) && errors.As(err, &refused) {
		fmt.Println(refused.Code, refused.RequestID)
	}
	// Output:
	// Shop
	// Search
	// Blog
	// Pay by card draft
	// RESOURCE_NOT_FOUND r1
}
