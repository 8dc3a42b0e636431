"""Sign-ins, departures, tokens, rotations, revocations, deletions, crashes, clocks that jump and workers that come late, in any
order: what is honoured is what a model says that knows only the order of events, and what a dry run foretells comes true."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from service.embedded_redis import EmbeddedRedis
from tests.store.story import Story
from tests.store.story_steps import Step, steps

EXAMPLES, STEPS = 120, 40


# Without shrinking, which takes minutes here. Whoever looks for the shortest story that fails takes `phases` out.
@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.explicit, Phase.generate]
)
@given(happening=st.lists(steps, min_size=STEPS, max_size=STEPS), orderly=st.booleans())
def test_no_interleaving_leaves_anything_honoured_that_is_dead_or_ends_anything_that_is_not(
    redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory, happening: list[Step], orderly: bool
) -> None:
    story = Story(redis_server, tmp_path_factory.getbasetemp(), orderly=orderly)
    try:
        for step in happening:
            story.happen(step)
            story.what_is_honoured_is_what_the_model_says()
        story.what_is_foretold_comes_true()
        story.everything_is_worked_off()
    finally:
        story.close()
