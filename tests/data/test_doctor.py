import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lite_llm4rec.data.doctor import Finding, Report, examine
from lite_llm4rec.data.interactions import Interactions
from tests.data.doctor_tables import GOOD, ITEMS, START, YEAR, found, items_of, only, table


def test_good_data_has_facts_and_no_finding() -> None:
    log = table([*"aaaabbbb"], [*"wxyzzyxw"])
    report = examine(log, items_of([*"wxyz"]))
    assert report.ok
    assert found(report) == {}
    assert dict(report.facts) == {
        "users": "2",
        "items": "4",
        "interactions": "8",
        "density": "100.0000%",
        "median history": "4",
        "longest history": "4",
        "share of the top 1 % of items": "25.0%",
        "time": "2020-09-13 to 2020-09-13",
        "sequences_sha256": Interactions.from_table(log).sequences_sha256,
        "items in the items table": "4",
        "text fields": "title",
    }


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_other_libraries_tables_are_examined_alike(make: Any) -> None:
    same = examine(make(GOOD.to_pydict()), make(ITEMS.to_pydict()))
    assert same == examine(GOOD, ITEMS)


def test_the_report_is_json() -> None:
    report = Report([("users", "2")], [Finding("note", "code", "message", "remedy")])
    assert json.loads(json.dumps(report.to_dict())) == {
        "ok": True,
        "facts": {"users": "2"},
        "findings": [
            {"severity": "note", "code": "code", "message": "message", "remedy": "remedy"}
        ],
    }


def test_errors_come_first_and_are_not_ok() -> None:
    report = examine(table(["a", None, "a", "a"], [*"xxyz"]))
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    assert not report.ok


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", None, "No such file"),
        ("log.csv", b"", "is empty"),
        ("log.parquet", b"user_id\n1\n", "cannot be read as .parquet"),
        ("log.docx", b"x", "is not known"),
        ("log.json", b'[{"user": {"id": 101463350189962023774}}]', "cannot be read as .json"),
    ],
)
def test_files_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    finding = only(examine(path, path), "unreadable")
    assert finding.severity == "error"
    assert str(path) in finding.message
    assert message in finding.message


def test_no_rows() -> None:
    assert only(examine(GOOD.slice(0, 0)), "empty").severity == "error"
    assert only(examine(GOOD, ITEMS.slice(0, 0)), "empty").severity == "error"


def test_all_missing_columns_are_told_at_once() -> None:
    report = examine(pa.table({"who": ["a"], "what": ["b"]}))
    assert set(found(report)) == {"no_user_column", "no_item_column", "no_time_column"}
    assert "did you mean 'user_id'?" in examine(GOOD, user="user_idd").findings[0].remedy


def test_without_times_the_rest_is_examined() -> None:
    report = examine(GOOD.drop(["timestamp"]))
    assert only(report, "no_time_column").severity == "error"
    facts = dict(report.facts)
    assert facts["users"] == "2"
    assert "time" not in facts
    assert "sequences_sha256" not in facts


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_missing_ids_are_counted_and_set_aside(blank: str | None) -> None:
    log = table(["a", "a", blank, "a", "b", "b", "b", blank], [*"xyzzyxzz"])
    report = examine(log)
    finding = only(report, "missing_user")
    assert "column 'user_id': no user in 2 of 8 rows, the first is row 2" in finding.message
    assert dict(report.facts)["interactions"] == "6"
    assert "sequences_sha256" not in dict(report.facts)


def test_decimal_ids() -> None:
    log = pd.DataFrame({"user_id": [1.0, 1, 1, None], "item_id": [1, 2, 3, 4]})
    log["timestamp"] = range(START, START + 4)
    report = examine(log)
    assert {"decimal_ids", "missing_user"} <= set(found(report))
    assert dict(report.facts)["users"] == "1"


@pytest.mark.parametrize("users", [[["a"], ["a"]], [{"0": 1}, {"0": 2}]], ids=["lists", "objects"])
def test_ids_that_are_lists_or_objects(users: list[Any]) -> None:
    finding = only(examine(table(users, ["x", "y"])), "id_type")
    assert finding.severity == "error"
    assert "column 'user' holds lists or objects" in finding.message


def test_the_table_that_pandas_writes_as_json_by_default(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(pd.DataFrame(GOOD.to_pydict()).to_json())
    finding = found(examine(tmp_path / "log.json"))["id_type"]
    assert 'orient="records", lines=True' in finding.remedy


@pytest.mark.parametrize(
    ("times", "code", "message"),
    [
        ([1, 2, None, 3, 4, None], "missing_time", "no time in 2 of 6 rows, the first is row 2"),
        (
            ["1", "2", "3", "4", "5", "n/a"],
            "unreadable_time",
            "is row 5 (from 0, header not counted): 'n/a'",
        ),
        (
            ["2024-01-01", "1700000000", "2024-01-03", "2024-01-04", "2024-01-05T10:00", "x"],
            "unreadable_time",
            "no readable time in 2 of 6 rows, the first is row 1 (from 0, header not counted):"
            " '1700000000'",
        ),
        (
            [1.0, 2.0, 3.0, 4.0, 5.0, float("inf")],
            "unreadable_time",
            "is row 5 (from 0, header not counted): inf",
        ),
        (
            ["2024-13-45"] * 6,
            "unreadable_time",
            "row 0 (from 0, header not counted): '2024-13-45' is not a time",
        ),
        ([True] * 6, "unreadable_time", "has the type bool, which is no time"),
    ],
)
def test_bad_times(times: list[Any], code: str, message: str) -> None:
    finding = found(examine(table([*"aaabbb"], [*"xyzzyx"], times)))[code]
    assert finding.severity == "error"
    assert message in finding.message


def test_a_constant_time() -> None:
    finding = only(examine(table([*"aaabbb"], [*"xyzzyx"], [START] * 6)), "constant_time")
    assert finding.severity == "warning"


def test_positions() -> None:
    report = examine(table([*"aaabbb"], [*"xyzzyx"], [0, 1, 2, 0, 1, 2]))
    assert only(report, "positions").severity == "note"
    assert "time" not in dict(report.facts)


@pytest.mark.parametrize(
    ("unit", "name"), [(10**3, "milliseconds"), (10**6, "microseconds"), (10**9, "nanoseconds")]
)
def test_units_are_judged_by_size(unit: int, name: str) -> None:
    times = [(START + n) * unit for n in range(6)]
    report = examine(table([*"aaabbb"], [*"xyzzyx"], times))
    assert f"Times are in {name}" in only(report, "time_unit").message
    assert dict(report.facts)["time"] == "2020-09-13 to 2020-09-13"


def test_a_line_break_in_a_csv_log_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [
        f"{user},{item},{START + n},fine\n"
        for n, (user, item) in enumerate(zip("aaabbb", "xyzzyx", strict=True))
    ]
    path.write_text("user_id,item_id,time,note\n" + "".join(rows).replace("fine", '"Open', 1)
                    .replace("fine", 'far"', 1))  # fmt: skip
    finding = found(examine(path))["line_breaks"]
    assert finding.message.endswith(
        "1 row has a line break in 'note', the first is row 0 (from 0, header not counted)."
    )


def test_times_out_of_range() -> None:
    times = [1, 2, START, START + 1, START + 200 * YEAR, START + 3]
    findings = found(examine(table([*"aaabbb"], [*"xyzzyx"], times)))
    assert set(findings) == {"early_time", "future_time"}
    assert findings["early_time"].message == (
        "2 interactions are from before 1995, the first from 1970-01-01."
    )
    assert findings["future_time"].message.startswith("1 interaction lies in the future")
    assert "2220-" in findings["future_time"].message


def test_time_ties_and_whose_last_item_they_decide() -> None:
    times = [START, START + 1, START + 1, START, START, START + 5]
    finding = only(examine(table([*"aaabbb"], [*"xyzzyx"], times)), "time_ties")
    assert finding.severity == "warning"
    assert finding.message.startswith("2 interactions (33.3%) have the same time as the one")
    assert "For 1 user this decides" in finding.message


def test_copies_are_told_from_repeats() -> None:
    users, items = [*"aaaaa", *"bbb"], [*"xyxxy", *"xyz"]
    times = [START + n for n in (0, 1, 2, 2, 5, 0, 1, 2)]
    findings = found(examine(table(users, items, times)))
    assert findings["duplicate_rows"].message.startswith("1 row repeats the user, item and")
    assert findings["repeated_pairs"].message.startswith("2 interactions (25.0%) are with an item")
    assert 'duplicates="last"' in findings["duplicate_rows"].remedy


def test_short_histories() -> None:
    findings = found(examine(table([*"aaabbcde"], [*"xyzxyxyz"])))
    assert findings["one_item_users"].message.startswith("3 users (60.0%) have only one inter")
    assert findings["short_histories"].message.startswith("4 users (80.0%) have fewer than 3")
    assert findings["short_histories"].severity == "warning"


def test_a_robot() -> None:
    users = ["bot"] * 10_001 + ["a"] * 3
    finding = found(examine(table(users, [f"i{n % 50}" for n in range(10_004)])))["long_histories"]
    assert finding.message.startswith("1 user has more than 10,000 interactions.")
    assert "The most, 10,001, are by 'bot'." in finding.message


def test_rare_items() -> None:
    finding = only(examine(table([*"aaabbb"], [*"xyzxyw"])), "rare_items")
    assert finding.message.startswith("2 items (50.0%) have only one interaction.")


def test_too_small_to_evaluate() -> None:
    report = examine(table([f"u{n // 3}" for n in range(300)], [f"i{n % 60}" for n in range(300)]))
    findings = {finding.code: finding.message for finding in report.findings}
    # 1.96 · √(0.1 · 0.9 / 100)
    assert findings["few_users"] == (
        "Only 100 users have enough interactions to be tested on. Results are then uncertain:"
        " a recall of 0.1 means 0.1 ± 0.059 (95 % interval)."
    )
    assert findings["few_items"] == (
        "Only 60 items are in the interactions, so that a list of 10 holds 17% of all."
        " Even guessing scores well."
    )


def test_counts_of_one_read_right() -> None:
    report = examine(table([*"aaa"], [*"xxx"]), items_of(["x", "y"], ["Ex", None]))
    findings = {finding.code: finding.message for finding in report.findings}
    assert findings["few_users"].startswith("Only 1 user has enough")
    assert findings["few_items"].startswith("Only 1 item is in the interactions")
    assert "a list of 10 holds 100% of all" in findings["few_items"]
    assert findings["cold_items"].startswith("1 item (50.0%) has a row in the items table but no")
    assert findings["no_text"] == "1 item (50.0%) has no text, for example 'y'."


def test_nothing_to_evaluate() -> None:
    report = examine(table([*"aabb"], [*"xyxy"]))
    assert not report.ok
    assert found(report)["nothing_to_evaluate"].severity == "error"


@pytest.mark.parametrize("shorter", ["aaabbb", "aaab"])
def test_nothing_to_learn(shorter: str) -> None:
    report = examine(table([*shorter], [*"xyzxyz"[: len(shorter)]]))
    assert not report.ok
    (finding,) = [one for one in report.findings if one.code == "nothing_to_learn"]
    assert finding.message.startswith("No user has two interactions to train on")
    for enough in (f"{shorter}cccc", f"{shorter}cc"):
        rest = examine(table([*enough], [*"xyzxyzwxyz"[: len(enough)]]))
        assert "nothing_to_learn" not in {one.code for one in rest.findings}


def test_the_share_of_the_most_popular_items() -> None:
    items = ["hit"] * 150 + ["second"] * 50 + [f"i{n}" for n in range(200)]  # 202 items, top 3
    report = examine(table([f"u{n % 100}" for n in range(400)], items))
    assert dict(report.facts)["share of the top 1 % of items"] == "50.2%"


def test_items_are_examined_where_the_log_cannot_be_read() -> None:
    report = examine("nowhere.csv", items_of([*"xyz"], ["Ex", None, "Zed"]))
    assert set(found(report)) == {"unreadable", "no_text"}


def test_the_items_table_may_call_its_id_otherwise(tmp_path: Path) -> None:
    pq.write_table(GOOD.rename_columns(["user_id", "product", "timestamp"]), tmp_path / "l.parquet")
    assert found(examine(tmp_path / "l.parquet", ITEMS, item="product")) == {}


VALUES = st.none() | st.sampled_from(["", " ", "a", "b", "7", "2024-01-01", "NaN", "1e400", "\x00"])
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3)
DECIMALS = st.none() | st.floats()
COLUMN = st.one_of(
    *(st.lists(kind, min_size=6, max_size=6) for kind in (VALUES, NUMBERS, DECIMALS))
)


@settings(max_examples=150, deadline=None)
@given(COLUMN, COLUMN, COLUMN, COLUMN, COLUMN)
def test_whatever_the_columns_hold_nothing_is_raised_and_ok_data_can_be_read(
    users: Any, items: Any, times: Any, ids: Any, titles: Any
) -> None:
    log = table(users, items, times)
    report = examine(log, items_of(ids, titles), text=["title"])
    assert all(finding.message and finding.remedy for finding in report.findings)
    if report.ok:
        assert Interactions.from_table(log).n_users == int(dict(report.facts)["users"])
