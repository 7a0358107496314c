"""Envoy, configured by files: `bootstrap` is its start, `driver` its routes (docs/adr/0003-file-based-xds.md)."""
