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
    "test_a_wheel_is_whole_and_runs_offline_where_there_is_no_compiler":
        "test_what_is_installed_and_run_can_be_read",
    "test_its_commands_make_a_run": "test_its_parts_fit_each_other_and_the_image",
    "test_the_schemas_of_kubernetes_take_it": "test_its_parts_fit_each_other_and_the_image",
    "test_one_in_a_hundred_is_a_false_alarm_and_five_are_missed":
        "test_noise_is_seldom_taken_for_a_change_nor_a_change_for_noise",
    "test_a_server_slowed_by_a_fifth_is_flagged_with_three_runs_a_side":
        "test_a_server_slowed_by_half_is_flagged_with_one_run_a_side",
    "test_the_limit_of_one_core_is_found": "test_it_finds_what_a_busy_server_holds_and_says_so_everywhere",
    "test_an_interrupted_search_says_what_is_known":
        "test_it_finds_what_a_busy_server_holds_and_says_so_everywhere",
    "test_more_users_by_whom_no_more_is_done_are_on_a_plateau":
        "test_a_budget_that_is_used_up_ends_the_search",
    "test_a_level_whose_server_is_not_done_with_the_last_one_waits_within_the_budget":
        "test_a_budget_that_is_used_up_ends_the_search",
    "test_what_a_failed_level_left_undone_does_not_show_in_the_next":
        "test_it_finds_what_a_busy_server_holds_and_says_so_everywhere",
    "test_each_loss_fails_the_run_by_itself": "test_what_servers_do_wrong_is_found_and_nothing_else",
    "test_users_of_a_worker_that_is_killed_owe_nothing_more":
        "test_what_servers_do_wrong_is_found_and_nothing_else",
    "test_endpoints_of_no_use_leave_own_lag_as_it_is":
        "test_the_busy_node_stands_out_and_hostile_endpoints_harm_nothing",
    "test_five_hundred_users_of_a_server_that_is_killed": "test_a_server_that_is_killed_and_comes_back",
    "test_a_share_is_cut_and_its_sessions_are_recovered": "test_a_server_that_is_killed_and_comes_back",
    "test_a_silent_cut_is_found_by_the_servers_heartbeat": "test_a_server_that_is_killed_and_comes_back",
    "test_a_check_that_fails_and_a_command_that_cannot_run":
        "test_a_drill_that_is_interrupted_ends_its_command",
    "test_artillery_itself_says_the_same": "test_server_hears_what_the_script_says",
    "test_the_cases_reach_the_codecs_lines": "test_a_million_cases_of_each",
    "test_a_starved_generator_is_told_to_share_its_work": "test_the_verdict_is_true",
    "test_type_checkers_find_an_editable_install": "test_an_sdist_is_whole_where_nothing_is_compiled",
    "test_a_distributed_run_with_as_many_names_as_there_may_be": "test_a_run_from_login_to_report",
    "test_a_pipe_that_nobody_reads_is_an_error": "test_a_pipe_waits_for_who_reads_it",
    "test_ten_kib_a_second_to_one_who_takes_one": "test_the_servers_buffer_grows",
}  # fmt: skip


def is_mark(node: ast.AST) -> bool:
    """Whether this is `pytest.mark.verify`."""
    return ast.unparse(node) == "pytest.mark.verify"


def test_every_long_test_runs_shortened_in_the_quick_tier() -> None:
    """A test that is long for some of its parameters only is one that runs for the others."""
    whole: dict[str, str] = {}
    parameters = 0
    tests = serverkit.ROOT / "tests"
    for file in (*tests.glob("test_*.py"), *tests.glob("*/test_*.py")):  # not through what npm installed
        tree = ast.parse(file.read_text())
        found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        names = {test.name for test in found}
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
                assert not any(map(is_mark, ast.walk(node.value))), f"all of {file} is long"
        for test in found:
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
