"""Versions that the API tells."""

RELEASE = "0.1.0"
API_VERSION = "1.0"
PREFIX = "/v1"
