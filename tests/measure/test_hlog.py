from __future__ import annotations

from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from sioload.measure.recorder import Recorder
from sioload.report.hlog import hlog


def read(text: str, tmp_path: Path) -> dict[str, HdrHistogram]:
    path = tmp_path / "run.hlog"
    path.write_text(text, encoding="utf-8")
    reader = HistogramLogReader(str(path), HdrHistogram(1, 10**12, 3))
    found = {}
    try:
        while (histogram := reader.get_next_interval_histogram()) is not None:
            found[histogram.get_tag()] = histogram
    finally:
        reader.input_file.close()
    return found


def test_the_log_is_read_back_by_hdrhistogram(tmp_path: Path) -> None:
    recorder = Recorder()
    row = recorder.row("CALL", "/chat message, 日本")
    for n in range(1, 1001):
        row.add(n / 1000)
    row.service(0.002)
    recorder.row("PUSH", "news").add(0.000_05)
    recorder.row("CALL", "slow").add(3000.0)
    recorder.row("EMIT", "message").tick(3)
    found = read(hlog(recorder.totals(), started=1.7e9, duration=30.0), tmp_path)
    assert len(found) == 4, "rows without times have no histogram"
    (tag,) = [tag for tag in found if tag.startswith("CALL:/chat")]
    assert "," not in tag and " " not in tag
    call = found[tag]
    assert call.get_total_count() == 1000
    for percent in (50, 90, 99, 99.9):
        assert call.get_value_at_percentile(percent) / 1e6 == pytest.approx(percent * 10, rel=0.01)
    assert found["PUSH:news"].get_value_at_percentile(50) == pytest.approx(50_000, rel=0.01)
    assert found["CALL:slow"].get_max_value() / 1e9 == pytest.approx(3000, rel=0.001)
    assert found[tag.replace("CALL:", "CALL.service:")].get_total_count() == 1
    assert call.get_end_time_stamp() - call.get_start_time_stamp() == pytest.approx(30_000, abs=1)


def test_a_run_that_accepted_any_certificate_says_so_in_its_log(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.row("CALL", "echo").add(0.1)
    text = hlog(recorder.totals(), started=1.7e9, duration=30.0, unverified=True)
    assert text.splitlines()[1] == "#[TLS certificates were not verified]"
    assert read(text, tmp_path)["CALL:echo"].get_total_count() == 1


def test_types_of_other_clients_fit_into_tags(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.foreign_row("gRPC, unary", "/chat: say").add(0.2)
    recorder.row("CALL", "echo").add(0.1)
    found = read(hlog(recorder.totals(), started=1.7e9, duration=30.0), tmp_path)
    assert {tag: times.get_total_count() for tag, times in found.items()} == {
        "gRPC%2C%20unary:/chat:%20say": 1,
        "CALL:echo": 1,
    }


def test_a_log_of_nothing_has_its_header_alone(tmp_path: Path) -> None:
    text = hlog([], started=0.0, duration=0.0)
    assert text.startswith("#[Histogram log format version")
    assert read(text, tmp_path) == {}
