"""The house on an empty Redis, opened inside the test."""

from tests.support.house import house

__all__ = ["house"]
