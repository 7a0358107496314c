"""SDKs in four languages, built from docs/openapi.json: `make sdks`."""
