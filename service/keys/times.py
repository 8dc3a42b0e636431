"""How long each step of a rotation takes, so that no application ever meets a signature it cannot check.

A key is published, then it signs, then it is published a while longer. The applications keep the published keys as long as
our answer allows, so what counts is not when we know a key but when the last of them does.
"""

from typing import Final

JWKS_MAX_AGE_S: Final = 300
"""How long an application may keep the published keys without asking again, in seconds."""

LOOK_S: Final = 2.0
"""Pause between two looks of a running process at the file of the keys, in seconds: one read of a few kilobytes."""

LEAST_USE_AFTER_S: Final = 600
"""Shortest time a key is published before it signs, in seconds: Kubernetes takes up to two minutes to bring a changed Secret
to every pod, a process LOOK_S to see it, an application JWKS_MAX_AGE_S to ask again; and as much again for clocks."""

USE_AFTER_S: Final = 86_400
"""How long a key is published before it signs where nobody says otherwise, in seconds: a day, because common libraries keep
keys for hours whatever our answer allows, and some operators carry the public half to another server by hand."""

MOST_USE_AFTER_S: Final = 366 * 86_400
"""Longest such time, in seconds: whoever asks for more than a year has mistaken the unit."""

KEEP_AFTER_S: Final = 600
"""How long a key stays published after it has signed for the last time, in seconds: a logout token lives for two minutes,
and a worker may hear of the change as late as an application may."""

LATEST_TIME_S: Final = 253_402_300_799
"""The last second of the year 9999: what is later was meant in milliseconds, or not at all."""

if 2 * JWKS_MAX_AGE_S > LEAST_USE_AFTER_S:
    raise RuntimeError("a key must be published for well longer than an application may keep the keys it knows")
