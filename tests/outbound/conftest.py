"""Outbound clients that may reach loopback: one as in production, one so impatient that hostile servers cost little."""

import ipaddress
from collections.abc import AsyncIterator
from typing import Final

import pytest

from service.outbound import Outbound, open_outbound
from tests.support.certificates import Authority

LOOPBACK: Final = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))

DEADLINE_S: Final = 0.2
"""What `impatient` gives a call, in seconds."""


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the tests trust. Reading one certificate is also far quicker than reading the system's hundred."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def outbound(authority: Authority) -> AsyncIterator[Outbound]:
    """With production's deadline. Whatever a test did, no connection stays taken."""
    async with open_outbound(allowed_networks=LOOPBACK, ca_file=authority.ca_file) as opened:
        yield opened
        assert opened.in_use == 0


@pytest.fixture
async def impatient(authority: Authority) -> AsyncIterator[Outbound]:
    """With a fifth of a second for everything. Whatever a test did, no connection stays taken."""
    async with open_outbound(allowed_networks=LOOPBACK, ca_file=authority.ca_file, deadline_s=DEADLINE_S) as opened:
        yield opened
        assert opened.in_use == 0
