"""Credentials in URLs are not for eyes: the one place where they become `***`.

`AgentError` and `Problem` redact what they are made of, so that whatever names a URL in them may be shown.
"""

import re

_USER_INFO = re.compile(r"(ssh://)[^/\s@:]*:[^/\s]*@|((?!ssh:)\b[a-z][a-z0-9+.-]*://)[^/\s]*@", re.IGNORECASE)
_PARAMETER = re.compile(
    r"([?&;](?:[\w.-]*(?:password|passwd|passphrase|secret|token|signature|access_?key)|sig|key)=)[^&;#\s]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """`text` with the credentials of every URL in it replaced by `***`: user and password, and secret parameters.

    `ssh://git@host` has none.
    """
    if "://" not in text:
        return text
    return _PARAMETER.sub(r"\1***", _USER_INFO.sub(r"\1\2***@", text))
