"""The files of feeds: what is in them comes out, and what is wrong with them is said with its line."""

from __future__ import annotations

import csv
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioload.errors import FeedError
from sioload.load.tables import read_table, table_of

FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=6,
)


@settings(deadline=None, database=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=8), st.booleans())
def test_csv_comes_back(tmp_path_factory, rows, bom):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with open(path, "w", newline="", encoding="utf-8-sig" if bom else "utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "token"])
        writer.writerows(rows)
    table = read_table(str(path))
    assert [table.row(n) for n in range(len(table))] == [{"name": a, "token": b} for a, b in rows]
    assert table.columns() == {"name", "token"}


@settings(deadline=None, database=None, max_examples=50)
@given(st.lists(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), VALUES), min_size=1))
def test_lines_of_json_and_lists_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_text("\n\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    for table in (read_table(str(path)), table_of(rows, "list 1")):
        assert [table.row(n) for n in range(len(table))] == rows
        assert table.columns() == set.intersection(*map(set, rows))
        table.row(0)["changed"] = True
        assert table.row(0) == rows[0], "each row is given anew"


def test_lines_of_spaces_are_empty(tmp_path):
    """But where there is one column, of which it may be a value."""
    (tmp_path / "a.csv").write_bytes(b"name,token\r\nann,1\r\n   \r\nbob\r\n\t\n")
    table = read_table(str(tmp_path / "a.csv"))
    assert [table.row(number)["name"] for number in range(len(table))] == ["ann", "bob"]
    (tmp_path / "b.csv").write_text("name\nann\n  \n")
    table = read_table(str(tmp_path / "b.csv"))
    assert [table.row(number)["name"] for number in range(len(table))] == ["ann", "  "]


def test_short_rows_are_filled_and_empty_lines_left_out(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('a,b\r\n\r\n1\r\n"x\ny",2\r\n\r\n')
    table = read_table(str(path))
    assert [table.row(n) for n in range(len(table))] == [{"a": "1", "b": ""}, {"a": "x\ny", "b": "2"}]


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.csv", b"", "line 1: the header is empty"),
        ("a.csv", b"\n1,2\n", "line 1: the header is empty"),
        ("a.csv", b"a,\n1,2\n", "line 1: column 2 of the header has no name"),
        ("a.csv", b"a,b,a\n1,2,3\n", "line 1: the header names 'a' twice"),
        ("a.csv", b"a;b\r\n1;2\r\n", "line 1: the header is one column, 'a;b': save the file with commas"),
        ("a.csv", b"a;b\n1,5;2\n", "with commas in place of semicolons"),
        ("a.csv", b"a\tb\n\n1\t2\n", "with commas in place of tabs"),
        ("a.csv", b"a,b\n", "no row"),
        ("a.csv", b"a,b\n1,2\n3,4,5\n", "line 3: 3 fields, and the header names 2 (a, b)"),
        ("a.csv", b'a,b\n"1\n1",2\n\n3,4,5\n', "line 5: 3 fields"),
        ("a.csv", b'a,b\n1,"2\n', "line 2: this is no CSV"),
        ("a.csv", b"a,b\n1,\xff\n", "line 2: this is not UTF-8"),
        ("a.csv", b"a,b\r1,2\r", "line 1: there is a CR without LF: save the file with the line ends LF"),
        ("a.jsonl", b"", "no row"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": }\n', "line 3: this is no JSON"),
        ("a.jsonl", b'{"a": NaN}\n', "line 1: this is no JSON"),
        ("a.jsonl", b"[1]\n", "line 1: a row is an object"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FeedError) as raised:
        read_table(str(tmp_path / name))
    assert said in str(raised.value) and name in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["a;b\n1\n2;3\n", "a\nx;y\n"])
def test_a_single_column_may_have_any_sign(tmp_path, content):
    (tmp_path / "a.csv").write_text(content)
    table = read_table(str(tmp_path / "a.csv"))
    assert [[*table.row(n).values()] for n in range(len(table))] == [[x] for x in content.split("\n")[1:-1]]


@pytest.mark.parametrize(
    "rows, said",
    [([], "no row"), ([1], "row 1: a row is a dict, not int"), ([{"a": 1}, {"a": {1}}], "row 2: its values"),
     ([{1: 2}], "row 1: its values"), ([{"a": b"x"}], "row 1: its values")],
)  # fmt: skip
def test_a_list_that_makes_no_sense(rows, said):
    with pytest.raises(FeedError, match=said):
        table_of(rows, "list 1")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FeedError, match="No such file"):
        read_table(str(tmp_path / "none.csv"))


def test_the_names_of_many_rows_are_found_one_row_at_a_time(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"name": "u{n}", "k{n % 7}": 1}}\n' for n in range(20_000)))
    table = read_table(str(path))
    tracemalloc.start()
    assert table.columns() == {"name"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20, "a set for each row at once takes 200 bytes a row and more"


def test_a_field_may_be_long(tmp_path):
    usual = csv.field_size_limit()
    path = tmp_path / "a.csv"
    path.write_text(f"name,picture\nann,{'x' * 300_000}\n")
    assert len(read_table(str(path)).row(0)["picture"]) == 300_000
    path.write_text('name,picture\nann,"' + "x\n" * 150_000)
    with pytest.raises(FeedError, match="line 2: this is no CSV: unexpected end of data"):
        read_table(str(path))
    assert csv.field_size_limit() == usual, "that of the script's own files"
