"""What was confided to a server can't be read in what is shown."""

from __future__ import annotations

import pytest

from sioload.engineio.secrets import HIDDEN, redact


@pytest.mark.parametrize(
    ("text", "confided", "shown"),
    [
        ("no session of ada-1815", "ada-1815", f"no session of {HIDDEN}"),
        ("Bearer abcdefgh refused", {"Authorization": "Bearer abcdefgh"}, f"{HIDDEN} refused"),
        ("token abcdefgh refused", {"Authorization": "Bearer abcdefgh"}, f"token {HIDDEN} refused"),
        ("deep secret", {"a": [{"b": ("deep secret",)}]}, HIDDEN),
        ("GET /?token=a%2Fb%20c%2Fd", {"token": "a/b c/d"}, f"GET /?token={HIDDEN}"),
        (r'{"message": "no \u00e9l\u00e8ve-1815"}', "élève-1815", f'{{"message": "no {HIDDEN}"}}'),
        (r'{"message": "no a\"b\\c-1815"}', r'a"b\c-1815', f'{{"message": "no {HIDDEN}"}}'),
        (r'{"message": "no é\"b-1815"}', 'é"b-1815', f'{{"message": "no {HIDDEN}"}}'),
        ("<p>no &lt;ada&gt; &amp; co</p>", "<ada>&co-1815", "<p>no &lt;ada&gt; &amp; co</p>"),
        ("<p>no a&lt;b-1815</p>", "a<b-1815", f"<p>no {HIDDEN}</p>"),
        ("long-secret-more, long-secret", ["long-secret", "long-secret-more"], f"{HIDDEN}, {HIDDEN}"),
        ("user=lovelace&key=engine-1", "user=lovelace&key=engine-1", HIDDEN),
        ("only lovelace", "user=lovelace&key=engine-1", f"only {HIDDEN}"),
        ("a short 12345 stays", "12345", "a short 12345 stays"),
        ("nothing", None, "nothing"),
        ("a callable says nothing", len, "a callable says nothing"),
    ],
)
def test_nothing_that_was_confided_is_shown(text: str, confided: object, shown: str) -> None:
    assert redact(text, confided) == shown
