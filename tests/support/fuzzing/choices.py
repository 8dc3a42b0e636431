"""Decisions made by bytes: the same bytes, the same decisions. A mutated input is a request that differs a little."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")

LONGEST_TEXT: Final = 64
"""Longest text that is drawn, in bytes; longer ones are made by repeating one."""

SCALARS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 0.5, 2**31, 2**53, 2**63, -(2**63) - 1, 10**30, 1e308, float("nan"), float("inf")),
    *("", " ", "\x00", "\ud800", "\U0001f469\u200d\U0001f680", "x" * 3000, "}{", "-0", "\r\nX-Y: z", "%00", "\u202e"),
    *("none", "HS256", "RS256", "ES256", "EdDSA", "RSA-OAEP", "ada@example.com", "Ada@EXAMPLE.com ", "@", "a@b@c"),
    *("http://[::1", "https://\uff0e", "+49301234567", "+", "did:example:123", "acct:ada@example.com"),
)
"""Values that have broken readers of JSON, tokens, times and addresses before."""


class Choices:
    """Reads decisions off bytes. When they are used up, every decision is the first one: whatever is ordinary."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left."""
        return self._place >= len(self._data)

    def byte(self) -> int:
        """One byte, 0 when there is none."""
        if self.exhausted:
            return 0
        self._place += 1
        return self._data[self._place - 1]

    def number(self, most: int) -> int:
        """From 0 to `most`."""
        drawn = self.byte() if most < 256 else self.byte() * 256 + self.byte()
        return drawn % (most + 1)

    def one_of(self, options: Sequence[T]) -> T:
        """One of these; the first when nothing is left."""
        return options[self.number(len(options) - 1)]

    def seldom(self) -> bool:
        """True for one byte in eight, and never when nothing is left."""
        return self.byte() % 8 == 7

    def raw(self, longest: int = LONGEST_TEXT) -> bytes:
        """Some bytes, as they are."""
        length = self.number(longest)
        taken = self._data[self._place : self._place + length]
        self._place += length
        return taken

    def text(self) -> str:
        """Some text; surrogates and controls may be in it."""
        return self.raw().decode("utf-8", "surrogateescape")

    def value(self, depth: int = 0) -> Any:
        """Any JSON value."""
        match self.number(5):
            case 0 | 1:
                return self.one_of(SCALARS)
            case 2:
                return self.text()
            case 3:
                return int.from_bytes(self.raw(12), "big", signed=True)
            case 4 if depth < 4:
                return [self.value(depth + 1) for _ in range(self.number(3))]
            case 5 if depth < 4:
                return {self.text(): self.value(depth + 1) for _ in range(self.number(3))}
            case _:
                return self.text() * (1 + self.number(300))
