"""What the demo promises its reader, each promise checked: the exit status is theirs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One promise. `found` says what was seen where it does not hold."""

    text: str
    held: bool
    found: str = ""


class Claims:
    """Every promise made so far, in order."""

    def __init__(self) -> None:
        self.made: list[Claim] = []

    def check(self, text: str, *, held: bool, found: object = "") -> None:
        """Make one promise."""
        self.made.append(Claim(text=text, held=held, found=str(found)))

    @property
    def broken(self) -> list[Claim]:
        """Those that do not hold."""
        return [each for each in self.made if not each.held]
