"""Redis goes away while a job ends: arq's last write, which nobody waits for, was told as a fault, with a traceback."""

from pathlib import Path

from tests.support.heard import listening
from tests.support.house import open_house


async def test_the_end_of_a_job_that_cannot_be_written_is_one_line(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, queue_url="redis://127.0.0.1:1/0") as house:
        with listening() as heard:
            await house.worker.create_arq_worker().finish_job("rev_1:0", True, None, None, False, None, None)
    assert heard.one("job.end_not_queued") == {
        "event": "job.end_not_queued",
        "error": "ConnectionError",
        "level": "warning",
    }


async def test_nor_is_that_of_a_job_whose_body_somebody_has_deleted(redis_url: str, tmp_path: Path) -> None:
    async with open_house(redis_url, tmp_path, queue_url="redis://127.0.0.1:1/0") as house:
        with listening() as heard:
            await house.worker.create_arq_worker().finish_failed_job("rev_1:0", None)
    assert heard.one("job.end_not_queued")["level"] == "warning"
