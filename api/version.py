"""Versions of the API."""

API_VERSION = "1.0"
PREFIX = "/v1"
