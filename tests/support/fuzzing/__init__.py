"""Requests to the doors made of arbitrary bytes, and what must hold whatever they are."""
