"""The way out of an attached terminal, as ssh has it: Enter ~ . at the beginning of a line. Pure."""

_LINE_ENDS = b"\r\n"
_ESCAPE = ord("~")


class Escapes:
    """Looks through what is typed. `~.` at the beginning of a line leaves, `~~` there is one `~`."""

    def __init__(self) -> None:
        self.is_leaving = False
        self._is_at_start = True
        self._has_escape = False

    def feed(self, data: bytes) -> bytes:
        """What of `data` is for the other side; nothing after the way out."""
        passed = bytearray()
        for byte in b"" if self.is_leaving else data:
            if self._has_escape:
                self._has_escape = False
                if byte == ord("."):
                    self.is_leaving = True
                    break
                if byte != _ESCAPE:
                    passed.append(_ESCAPE)
            elif self._is_at_start and byte == _ESCAPE:
                self._has_escape = True
                self._is_at_start = False
                continue
            passed.append(byte)
            self._is_at_start = byte in _LINE_ENDS
        return bytes(passed)
