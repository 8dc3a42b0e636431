"""RFC 9493 subject identifiers in bodies and answers: what may be written, as a JSON schema from the table of formats.

They are read by `service.domain.subject`, which also knows what a schema cannot say (an e-mail address is one).
"""

from typing import Any, Final

from pydantic import GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.domain.subject import ALIASES, MAX_ALIASES, MAX_MEMBER_LENGTH, MEMBERS

_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": MAX_MEMBER_LENGTH}


class Subject(RootModel[dict[str, Any]]):
    """An RFC 9493 subject identifier."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Every format with its members."""
        return _subject_schema()


SUBJECT: Final = {"$ref": f"#/components/schemas/{Subject.__name__}"}
"""Where the OpenAPI document has it."""


def _subject_schema() -> JsonSchemaValue:
    single = [_object(name, dict.fromkeys(members, _TEXT)) for name, members in MEMBERS.items()]
    listed = {"type": "array", "minItems": 1, "maxItems": MAX_ALIASES, "items": {"oneOf": single}}
    return {
        "description": "An RFC 9493 subject identifier.",
        "oneOf": [*single, _object(ALIASES, {"identifiers": listed})],
    }


def _object(name: str, members: dict[str, Any]) -> JsonSchemaValue:
    return {
        "title": name,
        "type": "object",
        "required": ["format", *members],
        "properties": {"format": {"const": name}, **members},
        "additionalProperties": False,
    }
