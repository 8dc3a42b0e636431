"""The reference page: every operation, written out from the records its routes are made of. No script, nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from service.web.docs_examples import curl
from service.web.docs_style import STYLE
from service.web.openapi import DESCRIPTION, build_openapi
from service.web.operation import Access, Operation

TAGS: Final = (
    "Clients",
    "Connections",
    "Sessions",
    "Refresh tokens",
    "For applications",
    "People",
    "Revocations",
    "Deliveries",
    "Audit",
    "Doors",
    "Published",
)
"""The order of the page: each example needs only what those before it have made. Other tags follow."""

POLICY: Final = (
    "default-src 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: its own style sheet and nothing else."""

CALLERS: Final[Mapping[Access, str]] = {
    "administrator": "The administrator, by bearer token.",
    "administrator or application": "The administrator by bearer token, or an application by its client secret.",
    "assertion": "An identity provider, by a JWT it signs.",
    "hook secret": "Okta, by the secret of the connection's event hook.",
    "logout token": "An identity provider: the logout token is its own credential.",
    "anyone": "Anyone.",
}
"""Who may call, in words."""

Schema = Mapping[str, Any]

_LIMITS: Final = (
    ("minLength", "{} or more characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "{} or more items"),
    ("maxItems", "at most {} items"),
    ("minimum", "from {}"),
    ("maximum", "up to {}"),
    ("pattern", "fits {}"),
)


def render_docs(operations: Iterable[Operation], *, version: str) -> str:
    """The whole page."""
    listed = list(operations)
    document = build_openapi(listed, base_url="", version=version)
    tags = sorted(dict.fromkeys(each.tag for each in listed), key=lambda tag: (*TAGS, tag).index(tag))
    grouped = {tag: [each for each in listed if each.tag == tag] for tag in tags}
    body = "".join(_group(tag, found, document) for tag, found in grouped.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>logoutd API</title><style>{STYLE}</style></head><body>"
        f'<header>{_opening(version)}</header><div class="page">{_contents(grouped)}<main>{body}</main></div></body></html>\n'
    )


def _opening(version: str) -> str:
    return (
        f'<h1>logoutd API</h1><p class="dim">Version {escape(version)}. The same as a document for programs: '
        '<a href="/openapi.json">/openapi.json</a>.</p>'
        "<p>The examples tell one story, from top to bottom. <code>$LOGOUTD</code> is where this service is, "
        "<code>$TOKEN</code> the administrator's token; <code>$CONNECTION_ID</code>, <code>$SESSION</code> and the others "
        "come from the answers before. What removes something is best kept for last.</p>" + _paragraphs(DESCRIPTION)
    )


def _contents(grouped: Mapping[str, Sequence[Operation]]) -> str:
    parts = []
    for tag, found in grouped.items():
        links = "".join(f'<li><a href="#{_anchor(each)}">{escape(each.summary)}</a></li>' for each in found)
        parts.append(f'<h2><a href="#{_slug(tag)}">{escape(tag)}</a></h2><ul>{links}</ul>')
    return f'<nav aria-label="Contents">{"".join(parts)}</nav>'


def _group(tag: str, operations: Iterable[Operation], document: Schema) -> str:
    told = next((each["description"] for each in document["tags"] if each["name"] == tag), "")
    parts = "".join(_operation(each, document) for each in operations)
    return f'<h2 id="{_slug(tag)}">{escape(tag)}</h2>{_paragraphs(told)}{parts}'


def _operation(operation: Operation, document: Schema) -> str:
    described = document["paths"][operation.path][operation.method.lower()]
    answers = [(status, told["description"]) for status, told in described["responses"].items()]
    return (
        f'<section class="operation" id="{_anchor(operation)}"><h3>{escape(operation.summary)}</h3>'
        f'<p><span class="method">{operation.method}</span><code>{escape(operation.path)}</code></p>'
        f'<p class="dim">Who may call: {escape(CALLERS[operation.access])}</p>'
        + _paragraphs(described["description"])
        + _table("Parameters", ("Name", "Where", "Description"), _parameters(operation, described))
        + _table(
            "Body",
            ("Member", "Type", "Description"),
            _members(_json_schema(described.get("requestBody", {})), document),
        )
        + _table("Answers", ("Status", "Means"), answers)
        + "".join(
            _table(f"What {status} holds", ("Member", "Type", "Description"), _members(_json_schema(told), document))
            for status, told in described["responses"].items()
            if int(status) < 400
        )
        + f"<h4>Example</h4><pre><code>{escape(curl(operation))}</code></pre></section>"
    )


def _parameters(operation: Operation, described: Schema) -> Iterator[tuple[str, ...]]:
    for each in described["parameters"]:
        yield each["name"], each["in"], each.get("description", "Required." if each["in"] == "path" else "")
    for number, name in enumerate(operation.form):
        told = operation.schemas.get(name, {}).get("description", "")
        yield name, "form", told if number else f"Required. {told}".strip()


def _json_schema(described: Schema) -> Schema:
    """Of a request's body or of an answer's, where that is JSON."""
    schema: Schema = described.get("content", {}).get("application/json", {}).get("schema", {})
    return schema


def _members(schema: Schema, document: Schema, prefix: str = "") -> Iterator[tuple[str, ...]]:
    """A row for each member, and for those of the objects it holds under their path; where an object is one of several kinds,
    the members of all of them."""
    schema = _resolve(schema, document)
    if schema.get("type") == "array":
        yield from _members(schema.get("items", {}), document, f"{prefix}[].")
        return
    kinds = [_resolve(each, document) for each in _choices(schema)]
    for name in dict.fromkeys(name for each in kinds for name in each.get("properties", {})):
        members = [each["properties"][name] for each in kinds if name in each.get("properties", {})]
        always = all(name in each.get("required", ()) for each in kinds if "properties" in each)
        types = dict.fromkeys(_type(each, document) for each in members)
        yield f"{prefix}{name}", " or ".join(types), _describe(members[0], [] if always else ["optional"])
        inner = _resolve(members[0], document)
        is_list = inner.get("type") == "array"
        inside = _resolve(inner.get("items", {}), document) if is_list else inner
        yield from _members(inside, document, f"{prefix}{name}{'[]' if is_list else ''}.")


def _describe(member: Schema, told: list[str]) -> str:
    told = told + [text.format(each[name]) for each in _choices(member) for name, text in _LIMITS if name in each]
    if member.get("default") is not None:
        told.append(f"default {json.dumps(member['default'])}")
    facts = "; ".join(dict.fromkeys(told))
    sentence = facts[:1].upper() + facts[1:] + "." if facts else ""
    return " ".join(each for each in (member.get("description", ""), sentence) if each)


def _type(member: Schema, document: Schema) -> str:
    names = []
    for choice in _choices(_resolve(member, document)):
        each = _resolve(choice, document)
        if "enum" in each or "const" in each:
            names.append(" | ".join(json.dumps(value) for value in each.get("enum", [each.get("const")])))
        elif each.get("type") == "array":
            names.append(f"array of {_type(each.get('items', {}), document)}")
        else:
            names.append(str(each.get("type", "any")))
    return " or ".join(dict.fromkeys(names))


def _choices(member: Schema) -> Sequence[Schema]:
    choices: Sequence[Schema] = member.get("anyOf") or member.get("oneOf") or [member]
    return choices


def _resolve(schema: Schema, document: Schema) -> Schema:
    found: Schema = schema
    while "$ref" in found:
        found = document["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    return found


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_code(each)}</p>" for each in re.split(r"\n{2,}", text.strip()) if each)


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(f"<tr><td><code>{escape(first)}</code></td>{_cells(rest)}</tr>" for first, *rest in rows)
    if not lines:
        return ""
    head = "".join(f"<th>{each}</th>" for each in heads)
    return (
        f'<h4>{title}</h4><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
    )


def _cells(texts: Iterable[str]) -> str:
    return "".join(f"<td>{_code(each)}</td>" for each in texts)


def _code(text: str) -> str:
    """Text with what stands between back quotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _anchor(operation: Operation) -> str:
    return operation.endpoint.__name__.replace("_", "-")


def _slug(tag: str) -> str:
    return "tag-" + re.sub(r"[^a-z0-9]+", "-", tag.lower())
