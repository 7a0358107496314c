"""The release of this engine."""

RELEASE = "0.1.0"
