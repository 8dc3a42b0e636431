"""One running service per module, found empty by each test, and an identity provider."""

from tests.support.asgi import api, idp, module_api

__all__ = ["api", "idp", "module_api"]
