"""Pushes that were only measured are found again by their frames, until they are forgotten."""

from sioload.measure.rows import Row
from sioload.net.pushes import PUSHES, CountedBroadcast, Pushes


def test_pushes_are_found_by_their_frames_until_they_are_forgotten() -> None:
    first, second = (CountedBroadcast(None, Row("PUSH", name), None, 0) for name in ("first", "second"))
    pushes = Pushes()
    pushes.put(b"1", first)
    pushes.put(b"2", second)
    found = [pushes.get(frame) for frame in (b"2", b"1", b"1", b"3", b"", b"1", b"2")]
    assert found == [second, first, first, None, None, first, second]
    pushes.put(b"2", first)  # the same frame, but others listen to it now
    assert pushes.get(b"2") is first
    for number in range(PUSHES):
        pushes.put(b"more %d" % number, second)
    assert pushes.get(b"1") is None
    pushes.clear()
    assert [pushes.get(frame) for frame in (b"more %d" % (PUSHES - 1), b"2", b"")] == [None] * 3
