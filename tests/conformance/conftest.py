"""For `api`, one running service per module."""

from tests.support.asgi import api, idp, module_api

__all__ = ["api", "idp", "module_api"]
