"""Envoy, driven by files: `bootstrap` says how it starts, `driver` what it routes (docs/adr/0003-file-based-xds.md)."""
