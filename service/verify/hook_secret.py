"""The secret an Okta event hook carries in `Authorization`: how it is kept."""

from service.domain.identifiers import fingerprint


def hash_hook_secret(secret: str) -> str:
    """The form in which an event hook's secret is kept and compared."""
    return fingerprint("okta_event_hook_secret", secret)
