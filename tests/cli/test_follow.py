"""Following a run: what comes faster than it can be shown waits where it is, and takes no memory here."""

import threading

from agent.cli.run.follow import _MOST_WAITING, _Box


def test_streams_wait_when_much_is_still_to_be_shown_and_nothing_is_lost() -> None:
    box = _Box()
    numbers = range(10 * _MOST_WAITING + 1)
    stream = threading.Thread(target=lambda: [box.put(("record", number)) for number in numbers], daemon=True)
    stream.start()
    shown: list[int] = []
    while len(shown) < len(numbers):
        items = box.take(0.1)
        assert len(items) <= _MOST_WAITING
        shown += [number for _, number in items]
    assert shown == list(numbers)
    stream.join()
    assert box.take(0.0) == []
