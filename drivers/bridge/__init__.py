"""The bridge: one small native program that joins a network of its own with the world outside (docs/adr/0036)."""
