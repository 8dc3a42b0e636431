"""For `api`, one running service per module; for `house`, the parts of one opened inside the test."""

import os

import pytest

from tests.support.asgi import api, idp, module_api
from tests.support.house import house

__all__ = ["api", "house", "idp", "module_api"]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("LOGOUTD_"):
            monkeypatch.delenv(name)
