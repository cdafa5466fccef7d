"""The long tier runs seldom: whatever it needs is tried in the quick one too, in a shortened form."""

from __future__ import annotations

import ast

import serverkit

#: Long tests that have no shortened form of their own, by what stands in for it in the same file.
STANDS_IN = {
    "test_ours_and_the_official_clients_send_the_same_to": "test_ours_and_the_official_clients_send_the_same",
    "test_ninety_users_share_seventy_rows_whatever_becomes_of_workers":
        "test_a_worker_is_killed_one_joins_and_one_comes_back",
    "test_five_joins": "test_workers_that_join_and_leave_count_fully",
    "test_whole_demo_has_rows_worth_looking_at": "test_short_demo_agrees_with_the_server",
    "test_make_demo_needs_nothing_but_python": "test_what_is_installed_and_run_can_be_read",
    "test_other_versions_of_python": "test_what_is_installed_and_run_can_be_read",
    "test_the_dockerfiles_steps_install_what_its_example_runs": "test_what_is_installed_and_run_can_be_read",
}  # fmt: skip


def is_mark(node: ast.AST) -> bool:
    """Whether this is `pytest.mark.verify`."""
    return ast.unparse(node) == "pytest.mark.verify"


def test_every_long_test_runs_shortened_in_the_quick_tier() -> None:
    """A test that is long for some of its parameters only is one that runs for the others."""
    whole: dict[str, str] = {}
    parameters = 0
    for file in (serverkit.ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(file.read_text())
        tests = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        names = {test.name for test in tests}
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
                assert not any(map(is_mark, ast.walk(node.value))), f"all of {file} is long"
        for test in tests:
            for decorator in test.decorator_list:
                if is_mark(decorator):
                    whole[test.name] = file.name
                    assert STANDS_IN.get(test.name) in names, f"{file.name}: nothing runs for {test.name}"
                elif ast.unparse(decorator).startswith("pytest.mark.parametrize"):
                    values = decorator.args[1]  # type: ignore[attr-defined]
                    if not isinstance(values, ast.List | ast.Tuple):
                        continue
                    long = [any(map(is_mark, ast.walk(value))) for value in values.elts]
                    parameters += any(long)
                    assert not long or not all(long), f"{file.name}: all parameters of {test.name} are long"
    assert set(whole) == set(STANDS_IN)
    assert parameters >= 8
