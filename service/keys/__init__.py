"""Signature algorithms and our own keys: what they are, never where requests for them come from."""
