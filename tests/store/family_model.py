"""What rotation is, told without Redis: for the stories of `story`."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["rotated", "invalid", "reused"]

MOST_SUCCESSORS = 5


@dataclass(eq=False)
class ModelFamily:
    """Everything a first token is rotated into."""

    expires_at_ms: int
    idle_ms: int | None
    ended: bool = False

    def expiry(self, now_ms: int) -> int:
        """When a token issued now expires."""
        return self.expires_at_ms if self.idle_ms is None else min(self.expires_at_ms, now_ms + self.idle_ms)


@dataclass(eq=False)
class ModelPlace:
    """A token's place in its family."""

    family: ModelFamily
    parent: "ModelPlace | None" = None
    spent_at_ms: int | None = None
    successors: int = 0
    succeeded: bool = False
    """A successor has been spent itself."""

    @property
    def dead(self) -> bool:
        """Whether it is not honoured, whatever its session and the time."""
        return self.family.ended or self.spent_at_ms is not None

    def rotate(self, *, could_live: bool, now_ms: int, grace_ms: int) -> Outcome:
        """Spend it. `could_live`: it is honoured, or would be had it not been spent. What is spent twice changes nothing by
        itself."""
        family = self.family
        if family.ended or not could_live:
            return "invalid"
        if self.spent_at_ms is None and self.parent is not None and self.parent.succeeded:
            # Another successor of the same token has been spent: one of the two was found.
            return "reused"
        if self.spent_at_ms is not None:
            in_grace = abs(now_ms - self.spent_at_ms) < grace_ms
            if not in_grace or self.succeeded or self.successors >= MOST_SUCCESSORS:
                return "reused"
        else:
            self.spent_at_ms = now_ms
        self.successors += 1
        if self.parent is not None:
            self.parent.succeeded = True
        return "rotated"
