"""Whatever is sent to a door, it is answered as documented: no fault of ours, nothing private told, nobody else signed out.

The requests are made of bytes (tests/support/fuzzing). What `make fuzz` has found worth keeping is in corpora/ and is sent again.
"""

from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.asgi import Api
from tests.support.fuzzing.judging import Doors
from tests.support.fuzzing.requests import DOORS
from tests.support.identity_provider import IdentityProvider

pytestmark = pytest.mark.asyncio(loop_scope="module")

CORPUS: Final = Path(__file__).parent / "corpora" / "doors"

CLOSELY: Final = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))

ORDINARY: Final = {"global_token_revocation": 204, "backchannel_logout": 200, "event_hook": 200, "challenge": 400}
"""What a request is answered of which nothing is changed; that of the challenge has none to send back."""


@pytest_asyncio.fixture(loop_scope="module")
async def doors(api: Api, idp: IdentityProvider) -> Doors:
    return await Doors.furnish(api, idp)


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_bent_is_a_good_request(doors: Doors, door: str) -> None:
    assert await doors.judge(bytes([DOORS.index(door)])) == ORDINARY[door]  # type: ignore[arg-type]


@pytest.mark.parametrize("door", DOORS)
@CLOSELY
@given(data=st.binary(max_size=300))
@example(data=b"")
async def test_any_request_is_answered_in_words(doors: Doors, door: str, data: bytes) -> None:
    await doors.judge(bytes([DOORS.index(door)]) + data)  # type: ignore[arg-type]


async def test_what_was_found_before_is_still_answered_in_words(doors: Doors) -> None:
    found = sorted(CORPUS.iterdir())
    assert len(found) > 20
    statuses = {await doors.judge(each.read_bytes()) for each in found}
    assert statuses >= {200, 204, 400, 401, 404}
