"""The settings of deliveries: how many at once, when again, until when, and how long what became of them is kept."""

from typing import Final

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from service.domain import retry_schedule
from service.domain.retry_schedule import RetrySchedule

PREFIX: Final = "LOGOUTD_"
"""What the name of every variable of ours begins with."""


class DeliverySettings(BaseSettings):
    """A part of `service.settings.Settings`."""

    max_concurrent_deliveries: int = Field(
        default=128,
        ge=1,
        le=4096,
        description="Most logout tokens one worker has under way at once. Default: 128.",
    )
    retry_first_step_seconds: float = Field(
        default=retry_schedule.FIRST_STEP_S,
        ge=0.1,
        le=3600,
        allow_inf_nan=False,
        description="Pause after the first attempt at a delivery has failed, in seconds; each further pause is twice as long. "
        "Between half and the whole of a pause is waited. Default: 1.",
    )
    retry_longest_step_seconds: float = Field(
        default=retry_schedule.LONGEST_STEP_S,
        ge=0.1,
        le=86_400,
        allow_inf_nan=False,
        description="Longest of these pauses, in seconds. Default: 3600, an hour.",
    )
    retry_window_hours: float = Field(
        default=retry_schedule.WINDOW_S / 3600,
        gt=0,
        le=720,
        allow_inf_nan=False,
        description="How long a delivery is tried before it is dead, in hours from its first attempt. Default: 24.",
    )
    suspend_after_days: int = Field(
        default=5,
        ge=0,
        le=365,
        description="How long an application may fail without a single answer before it is suspended, in days; it is asked once "
        "an hour then, until it answers or is resumed. 0: never. Default: 5.",
    )
    receipt_days: int = Field(
        default=90, ge=1, le=3650, description="How long a finished revocation's receipt is kept, in days. Default: 90."
    )
    dead_letter_days: int | None = Field(
        default=None,
        ge=1,
        description="How long a dead delivery stays on the list of dead letters, in days, and not longer than RECEIPT_DAYS. What "
        "goes then is its place on the list; the receipt still has it. Default: RECEIPT_DAYS.",
    )

    @field_validator("retry_longest_step_seconds")
    @classmethod
    def _is_no_shorter_than_the_first(cls, value: float, info: ValidationInfo) -> float:
        # What is wrong by itself is not there to be compared with.
        if value < info.data.get("retry_first_step_seconds", 0):
            raise ValueError(f"must not be shorter than {PREFIX}RETRY_FIRST_STEP_SECONDS")
        return value

    @field_validator("retry_window_hours")
    @classmethod
    def _has_room_for_the_longest_step(cls, value: float, info: ValidationInfo) -> float:
        if value * 3600 < info.data.get("retry_longest_step_seconds", 0):
            raise ValueError(f"must not be shorter than {PREFIX}RETRY_LONGEST_STEP_SECONDS (default: an hour)")
        return value

    @field_validator("dead_letter_days")
    @classmethod
    def _is_no_longer_than_receipts(cls, value: int | None, info: ValidationInfo) -> int | None:
        kept = info.data.get("receipt_days")
        if value is not None and kept is not None and value > kept:
            raise ValueError(f"must not be more than {PREFIX}RECEIPT_DAYS: what is listed must still be there")
        return value

    @property
    def retry_schedule(self) -> RetrySchedule:
        """When deliveries are tried again."""
        return RetrySchedule(
            first_step_s=self.retry_first_step_seconds,
            longest_step_s=self.retry_longest_step_seconds,
            window_s=self.retry_window_hours * 3600,
        )

    @property
    def dead_letters_kept_days(self) -> int:
        """How long dead letters are listed, in days."""
        return self.receipt_days if self.dead_letter_days is None else self.dead_letter_days
