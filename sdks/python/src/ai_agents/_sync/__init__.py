"""The client without asyncio, made from `ai_agents._async`."""
