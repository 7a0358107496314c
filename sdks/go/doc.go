// Package aiagents is the Go SDK of the AI Agent System API: projects, requirements, features, builds and progressive
// deployments.
//
//	client, err := aiagents.NewClient() // AI_AGENTS_BASE_URL and AI_AGENTS_API_KEY
//	...
//	for project, err := range client.Projects.ListAll(ctx, orgID, aiagents.ProjectListParams{}) {
//		...
//	}
//
// Methods take the parameters of the path one by one, and all others in a struct: what must be given is a plain field,
// what may be given is an [Optional], made by [Set] or [Null]. Options of a single call ([WithTimeout],
// [WithMaxRetries], [WithHeader], [WithIdempotencyKey], [WithIfMatch], [WithResponse]) come last.
//
// Every error of this package matches [ErrAIAgents]; answers of the API with an error status are an [*APIError], which
// matches one sentinel for its status (such as [ErrNotFound]) and one for its code (such as [ErrDuplicateSlug]).
package aiagents

// Version of this SDK.
const Version = "0.1.0"
