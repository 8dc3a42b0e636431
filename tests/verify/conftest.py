"""A real identity provider on loopback, the real outbound client, a clock turned by hand."""

from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network

import pytest

from service.outbound import Outbound, open_outbound
from service.telemetry import Numbers
from service.verify.issuer_keys import IssuerKeys
from tests.support.assertion_door import Door, standing
from tests.support.clock import HandClock
from tests.support.identity_provider import IdentityProvider


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with open_outbound(allowed_networks=(ip_network("127.0.0.0/8"),), deadline_s=2.0) as opened:
        yield opened


@pytest.fixture
async def idp() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider.running() as running:
        yield running


@pytest.fixture
async def keys(outbound: Outbound, clock: HandClock, numbers: Numbers) -> AsyncIterator[IssuerKeys]:
    opened = IssuerKeys(fetcher=outbound, clock=clock, numbers=numbers)
    yield opened
    await opened.close()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with standing() as door:
        yield door
