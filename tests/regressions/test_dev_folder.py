"""A data folder that everybody may write to: whoever may choose our keys and the administrator's token."""

from pathlib import Path

import pytest

from service.dev import DevError, dev_stack


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_data_folder_that_everybody_may_write_to_is_refused_with_one_line(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(DevError) as refused, dev_stack(port=0, data_dir=folder, log_to=tmp_path / "log"):
        pytest.fail("it must not start")

    assert str(refused.value) == f"the data folder {folder} must be this user's, and not writable by everybody"
    assert list(folder.iterdir()) == []
