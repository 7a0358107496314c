"""Versions that the API tells."""

API_VERSION = "1.0"
PREFIX = "/v1"
