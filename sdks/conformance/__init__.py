"""One list of scenarios for the SDKs of all languages: PROTOCOL.md, scenarios/*.yaml; `python -m sdks.conformance`."""
