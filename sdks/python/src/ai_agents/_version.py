"""The version of the distribution `ai-agents-sdk`."""

VERSION = "0.1.0"
