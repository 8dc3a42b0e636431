"""The reference page's examples, pasted one after the other: each answers as the page says."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Final

import httpx

from service.app import OPERATIONS
from service.dev import dev_stack
from service.web.operation import Operation

SIGNED_BY_OTHERS: Final = {
    "receive-global-token-revocation",
    "receive-backchannel-logout",
    "answer-okta-verification",
    "receive-okta-events",
}
"""Doors of identity providers: their credential is signed, kept or sent by somebody else, and stands there as a variable."""

OF_DEAD_DELIVERIES: Final = {"redeliver-delivery", "redeliver-revocation"}
"""Calls for what has been given up, which takes a day: tests/journeys/test_redelivery.py makes them."""

FILLS: Final[Mapping[str, Mapping[str, str]]] = {
    "create-connection": {"CONNECTION_ID": "id"},
    "create-session": {"SESSION": "session_id", "USER_ID": "user_id"},
    "create-refresh-token": {"REFRESH_TOKEN": "refresh_token", "REFRESH_TOKEN_ID": "refresh_token_id"},
    "rotate-refresh-token": {"REFRESH_TOKEN": "refresh_token"},
    "create-revocation": {"REVOCATION": "revocation_id"},
}
"""Which variables come from which answer, by their member."""

LIMIT_S: Final = 15
"""Longest one example may take, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call as it stands on the page."""

    anchor: str
    operation: Operation
    script: str


def examples(page: str) -> list[Example]:
    """In the order of the page, and what removes something after everything else, the last thing made first."""
    named = {each.endpoint.__name__.replace("_", "-"): each for each in OPERATIONS}
    found = re.findall(r'<section class="operation" id="([^"]+)">.*?<pre><code>(.*?)</code>', page, flags=re.DOTALL)
    listed = [Example(anchor=name, operation=named[name], script=unescape(script)) for name, script in found]
    assert {each.anchor for each in listed} == named.keys()
    told = [each for each in listed if each.anchor not in SIGNED_BY_OTHERS | OF_DEAD_DELIVERIES]
    removing = [each for each in told if each.operation.method == "DELETE"]
    return [each for each in told if each not in removing] + removing[::-1]


def paste(script: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Run an example; the status and the body of the answer. The status is asked for by curl's own configuration file."""
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": os.environ["PATH"], **variables},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ran.returncode == 0, f"{script}\n{ran.stderr}"
    body, _, status = ran.stdout.rpartition("\n")
    return int(status), body


def test_each_example_answers_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / ".curlrc").write_text('write-out = "\\n%{http_code}"\n', "utf-8")
    with dev_stack(port=0, data_dir=tmp_path / "data", log_to=tmp_path / "log") as stack:
        page = httpx.get(f"{stack.url}/docs").text
        variables = {"HOME": str(tmp_path), "LOGOUTD": stack.url, "TOKEN": stack.admin_token}
        for each in examples(page):
            status, body = paste(each.script, variables)
            documented = [number for number in each.operation.responses if 200 <= number < 300]
            assert status in documented, f"{each.script}\n{body}"
            for variable, member in FILLS.get(each.anchor, {}).items():
                variables[variable] = json.loads(body)[member]
