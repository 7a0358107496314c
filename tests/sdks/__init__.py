"""The SDKs, and what they are made from."""
