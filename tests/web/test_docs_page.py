"""/docs: every operation, from nowhere but here, with nothing that runs."""

import base64
import hashlib
import inspect
import re
from html import unescape

import pytest

from service.app import OPERATIONS
from service.web.docs_page import render_docs
from service.web.operation import Operation
from service.web.published import read_health
from tests.support.asgi import NOBODY, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def read(api: Api) -> str:
    answer = await api.get("/docs", by=NOBODY)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300"
    return answer.text


async def test_every_operation_is_there_with_its_answers_and_an_example(api: Api) -> None:
    page = await read(api)
    sections = dict(re.findall(r'<section class="operation" id="([^"]+)">(.*?)</section>', page, flags=re.DOTALL))
    assert len(sections) == len(OPERATIONS)
    for each in OPERATIONS:
        section = sections[each.endpoint.__name__.replace("_", "-")]
        assert f"<code>{each.path}</code>" in section
        assert f'<span class="method">{each.method}</span>' in section
        assert all(f"<td><code>{status}</code></td>" in section for status in each.responses)
        assert "curl -s" in section
        text = re.sub(r"<[^>]+>", "", unescape(section))
        for said in (inspect.getdoc(each.endpoint) or "").replace("`", "").split("\n\n"):
            assert said in text


async def test_what_removing_something_does_and_does_not_end_is_told(api: Api) -> None:
    page = await read(api)
    for said in ("It ends nothing: sessions begun through it", "with the reason <code>client_deleted</code>"):
        assert said in page


async def test_the_page_opens_with_what_holds_for_every_call(api: Api) -> None:
    opening = (await read(api)).partition("</header>")[0]
    for said in ("unknown members are refused", "next_cursor", "error_description", "405"):
        assert said in opening


async def test_members_of_bodies_are_told_with_their_type_limits_and_default(api: Api) -> None:
    page = await read(api)
    assert "<td><code>options.client_id</code></td><td>string</td>" in page
    assert "<td><code>clients[].client_id</code></td>" in page
    assert (
        "Optional; default &quot;openid&quot;" in page or "at most 1024 characters; default &quot;openid&quot;" in page
    )
    assert "at most 100 items" in page
    assert "<td><code>subject.identifiers[].phone_number</code></td>" in page


async def test_members_of_answers_are_told_too_those_of_every_kind_of_an_object(api: Api) -> None:
    page = await read(api)
    receipt = page.partition('id="read-revocation"')[2].partition("</section>")[0]
    assert "<h4>What 200 holds</h4>" in receipt
    for member in ("deliveries[].attempts[].duration_ms", "scope.begun_by", "scope.family_id", "accepted_at"):
        assert f"<td><code>{member}</code></td>" in receipt
    assert '"everything" or "session" or "begun_by" or "token_family"' in unescape(receipt)
    assert "What 204 holds" not in page


async def test_nothing_is_loaded_from_elsewhere(api: Api) -> None:
    page = await read(api)
    targets = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert targets
    anchors = set(re.findall(r' id="([^"]+)"', page))
    for each in targets:
        assert each in {operation.path for operation in OPERATIONS} or each.removeprefix("#") in anchors
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page


async def test_its_policy_allows_its_own_style_sheet_alone(api: Api) -> None:
    answer = await api.get("/docs", by=NOBODY)
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert 'style="' not in answer.text


async def test_what_an_operation_says_is_text_and_not_markup() -> None:
    written = "<script>alert('&')</script>"
    operation = Operation(
        method="GET",
        path="/x",
        endpoint=read_health,
        summary=written,
        tag="<b>",
        access="anyone",
        responses={200: written},
    )
    page = render_docs([operation], version=written)
    assert "<script" not in page
    assert "<b>" not in page
    assert written in unescape(page)
