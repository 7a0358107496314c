"""The client for asyncio: this package is the source, `ai_agents._sync` is made of it."""
