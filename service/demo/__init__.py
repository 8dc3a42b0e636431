"""`logoutd demo`: the whole story, end to end, over real HTTP, in one terminal.

A toy identity provider and three toy applications (`identity_provider`, `applications`; `logout_token` is how these
verify what they are told) around a real logoutd. `story` plays it, `evidence` holds what was seen against what was
promised, `timeline` shows it.
"""

from service.demo.run import run_demo

__all__ = ["run_demo"]
