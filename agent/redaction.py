"""Credentials in URLs are not for eyes: the one place where they become `***`.

`AgentError` and `Problem` redact what they are made of, so that whatever names a URL in them may be shown.
"""

import re
from typing import Final

# Compiled by `re` when they are first used: every command loads this module.
_USER_INFO: Final = r"(ssh://)[^/\s@:]*:[^/\s]*@|((?!ssh:)\b[a-z][a-z0-9+.-]*://)[^/\s]*@"
_PARAMETER: Final = (
    r"([?&;](?:[\w.-]*(?:password|passwd|passphrase|secret|token|signature|access_?key)|sig|key)=)[^&;#\s]+"
)


def redact(text: str) -> str:
    """`text` with the credentials of every URL in it replaced by `***`: user and password, and secret parameters.

    `ssh://git@host` has none.
    """
    if "://" not in text:
        return text
    unnamed = re.sub(_USER_INFO, r"\1\2***@", text, flags=re.IGNORECASE)
    return re.sub(_PARAMETER, r"\1***", unnamed, flags=re.IGNORECASE)
