"""The story of `test_interleavings` told of few sessions and many rotations: retries, reuses, and ends that come between."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from service.embedded_redis import EmbeddedRedis
from tests.store.story import Story
from tests.store.story_steps import Step

EXAMPLES, STEPS = 150, 25

OPENING = (Step(kind="sign in"), Step(kind="issue", idle_s=30), Step(kind="issue", flag=True, lasts_s=60, idle_s=45))
"""A session with two families: one that may be idle for a while, and an offline one that ends soon."""

KINDS = (*["rotate"] * 14, *["rotate and crash"] * 2, *["clock"] * 5, "revoke", "delete", "logout", "leave")
ENDS = ("give back", "delete token", "work off", "issue", "sign in")

steps = st.builds(
    Step,
    kind=st.sampled_from((*KINDS, *ENDS)),
    flag=st.sampled_from((False, False, True)),
    apt=st.sampled_from((True, True, False)),
    lasts_s=st.sampled_from((3600, 60)),
    idle_s=st.sampled_from((None, 30)),
    grace_s=st.sampled_from((0, 10, 10, 10)),
    which=st.integers(min_value=0, max_value=5),
    seconds=st.sampled_from((0.001, 0.5, 9.999, 10, 29.999, -0.5, -10, -31)),
)


@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(happening=st.lists(steps, min_size=STEPS, max_size=STEPS), orderly=st.booleans())
def test_no_rotation_leaves_a_live_token_that_is_dead_or_kills_one_that_is_alive(
    redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, happening: list[Step], orderly: bool
) -> None:
    story = Story(redis_server, tmp_path_factory.getbasetemp(), orderly=orderly)
    try:
        for step in (*OPENING, *happening):
            story.happen(step)
            story.what_is_honoured_is_what_the_model_says()
        story.everything_is_worked_off()
    finally:
        story.close()
