"""The running service that requests are thrown at, and an identity provider."""

from tests.support.asgi import api, idp, module_api

__all__ = ["api", "idp", "module_api"]
