"""Programs that are bound by the rights on files, also where the tests run as root."""

import os


def without_override() -> list[str]:
    """What to put before a command: root then has no more rights on its files than any owner has."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
