"""Canonical bytes of named values that are signed or bound: no two sets of values give the same bytes.

Joining texts with a separator lets bytes move from one field to its neighbour ("a|b" + "c" is "a" + "b|c"), which is
how signed URLs and web hooks have been forged. Here each field carries its type and its length.
"""

from typing import assert_never

Field = str | bytes | int


def encode_fields(domain: str, *fields: Field) -> bytes:
    """`domain`, then `fields`, each as its type (one byte), its length (8 bytes, big-endian) and its content.

    `domain` names what the bytes are for ("flow-agent/challenge/1"), so that a signature made for one purpose is
    none for another. Texts are UTF-8, numbers decimal. Raises UnicodeEncodeError for a text with lone surrogates.
    """
    return b"".join(_encode_field(field) for field in (domain, *fields))


def _encode_field(field: Field) -> bytes:
    match field:
        case str():
            kind, content = b"s", field.encode()
        case bytes():
            kind, content = b"b", field
        case int():
            kind, content = b"i", b"%d" % field
        case _:
            assert_never(field)
    return kind + len(content).to_bytes(8, "big") + content
