module github.com/ai-agents/sdk

go 1.24
