"""The bridge: a small native program that connects a sandbox's own network with the world outside (docs/adr/0036)."""
