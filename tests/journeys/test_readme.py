"""The README's examples, run as they stand: what a newcomer pastes works."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from service.dev import dev_stack

README = Path(__file__).parents[2] / "README.md"

LIMIT_S = 30
"""Longest the examples may take together, in seconds."""


@pytest.fixture
def examples() -> str:
    """Every ```bash block, in order, as one script. Blocks of ```sh need what no test has: an Okta, a terminal, the port."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", README.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    return "\n".join(f"{block}\necho; echo ---" for block in blocks)


def test_the_readme_examples_work_as_pasted(examples: str, tmp_path: Path) -> None:
    """Only the address differs: another server may hold port 8000 here."""
    home = tmp_path / "share"
    with dev_stack(port=0, data_dir=home / "logoutd", log_to=tmp_path / "log") as stack:
        assert examples.count("http://127.0.0.1:8000") == 1
        script = examples.replace("http://127.0.0.1:8000", stack.url)
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=README.parent,
            env={
                # Where this very program is, for those who run the tests without .venv.
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "XDG_DATA_HOME": str(home),
                "LOGOUTD_PUBLIC_URL": stack.url,
            },
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    parts = [part.strip() for part in ran.stdout.split("---\n")]
    _, client, connection, sign_in, foretold, revoked, told, shell, keys, _ = parts
    assert json.loads(client)["client_id"] == "notes"
    assert json.loads(connection)["global_token_revocation_endpoint"] == (
        f"{stack.url}/oauth/global-token-revocation/connection/acme-okta"
    )
    assert json.loads(sign_in)["active"] is True
    assert json.loads(foretold)["applications"] == [
        {"client_id": "notes", "state": "would_be_told", "logout_tokens": 1}
    ]
    assert revoked == ""
    dead, end = json.JSONDecoder().raw_decode(told)
    receipt = json.loads(told[end:])
    assert dead == {"active": False}
    assert receipt["initiator"] == "operator"
    assert receipt["reason"] == "laptop stolen"
    assert receipt["revoked_at"] >= receipt["accepted_at"]
    for said in ("acme-okta", "would_be_told", "laptop stolen"):
        assert said in shell
    assert Counter(re.findall(r"\b(?:next|current|previous)\b", keys)) == {"next": 8, "current": 8}
