import pyarrow as pa
import pytest

from biasaudit.corpus.conversations import joined


def batch(rows: list[tuple[str, int, str | None, int, str]]) -> pa.RecordBatch:
    text, channel, date, copies, number = zip(*rows, strict=True) if rows else ((),) * 5
    return pa.record_batch(
        {
            "text": pa.array(text, pa.string()),
            "channel": pa.array(channel, pa.int64()),
            "date": pa.array(date, pa.string()),
            "copies": pa.array(copies, pa.int64()),
            "message_id": pa.array(number, pa.string()),
        }
    )


ROWS = [
    ("a1", 0, "2021-01-01", 1, "10"),
    ("b1", 1, None, 2, "11"),
    ("a2", 0, "2021-01-02", 3, "12"),
    ("a3", 0, "2021-01-03", 1, "13"),
    ("b2", 1, "2021-01-04", 1, "14"),
    ("c1", 2, "2021-01-05", 1, "15"),
    ("a4", 0, None, 1, "16"),
    ("a5", 0, "2021-01-07", 5, "17"),
]


def documents(found: list[pa.RecordBatch]) -> list[dict[str, object]]:
    return [row for part in found for row in part.to_pylist()]


def test_messages_of_a_channel_are_joined_in_order_where_channels_interleave() -> None:
    found = documents(list(joined([batch(ROWS)], 2)))
    assert [row["text"] for row in found] == ["a1\na2", "b1\nb2", "a3\na4", "c1", "a5"]
    assert [row["message_id"] for row in found] == ["10", "11", "13", "15", "17"]
    assert [row["messages"] for row in found] == [2, 2, 2, 1, 1]
    assert [(row["date"], row["last_date"]) for row in found[:3]] == [
        ("2021-01-01", "2021-01-02"), (None, "2021-01-04"), ("2021-01-03", None)
    ]  # fmt: skip


def test_copies_still_add_up_to_the_records_that_were_read() -> None:
    found = documents(list(joined([batch(ROWS)], 3)))
    assert sum(row["copies"] for row in found) == 15
    assert sum(row["messages"] for row in found) == len(ROWS)


def test_one_message_a_document_changes_no_text() -> None:
    found = documents(list(joined([batch(ROWS)], 1)))
    assert [row["text"] for row in found] == [row[0] for row in ROWS]


@pytest.mark.parametrize("budget", [0, 5, 1 << 20])
def test_the_cuts_between_batches_change_nothing(budget: int) -> None:
    rows = [(f"texto {n}" + "x" * (n % 7000), n * n % 17, None, 1, str(n)) for n in range(4000)]
    whole = documents(list(joined([batch(rows)], 6, budget)))
    pieces = [batch(rows[n : n + 37]) for n in range(0, 4000, 37)]
    assert documents(list(joined([batch([]), *pieces], 6, budget))) == whole
    assert sorted(t for row in whole for t in row["text"].split("\n")) == sorted(row[0] for row in rows)


def test_what_waits_too_long_is_closed_oldest_first() -> None:
    size = 1 << 20
    rows = [("v" * size, channel, None, 1, str(channel)) for channel in range(12)]
    found = list(joined([batch(rows), batch([("fim", 11, None, 1, "12")])], 2, 3 * size))
    texts = [(row["message_id"], row["messages"]) for row in documents(found)]
    assert texts == [("0", 1), ("1", 1), ("2", 1), ("3", 1), ("4", 1), ("5", 1), ("6", 1), ("7", 1), ("8", 1),
                     ("11", 2), ("9", 1), ("10", 1)]  # fmt: skip
    assert max(part["text"].nbytes for part in found) < 5 * size


def test_no_message_is_no_document() -> None:
    assert list(joined([], 3)) == []
    assert list(joined([batch([])], 3)) == []
