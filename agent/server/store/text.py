"""Texts of strangers as both stores can hold them."""


def without_nul(text: str) -> str:
    """`text` with U+FFFD in the place of U+0000, which PostgreSQL's texts can't hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
