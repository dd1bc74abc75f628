"""Laws of mapping columns."""

import gzip

import numpy as np
import pandas as pd
import pytest

from sensors.errors import RecipeError
from sensors.recipe import Column
from sensors.tables import kept_rows, mapped, numbers_of, read_csv

TABLE = pd.DataFrame({"w": ["10", None, "30", "20"], "type": ["a", "a", "a", "b"], "mixed": [1.0, 2.5, None, 4.0]})


def test_an_empty_cell_is_missing_and_never_zero():
    assert mapped(TABLE, "w", "float", "f").isna().tolist() == [False, True, False, False]
    assert mapped(TABLE, "mixed", "str", "f").tolist() == ["1", "2.5", "", "4"]


def test_a_missing_number_becomes_the_median_of_its_kind_and_then_the_default():
    frame = pd.concat([TABLE, pd.DataFrame({"w": [None], "type": ["c"], "mixed": [0.0]})], ignore_index=True)
    rule = Column(column="w", fill_by="type", default=7.0)
    assert mapped(frame, rule, "float", "f").tolist() == [10.0, 20.0, 30.0, 20.0, 7.0]


def test_scale_offset_and_another_column_combine():
    rule = Column(column="mixed", scale=2.0, offset=1.0, times=Column(column="type", table={"a": 10.0}, default=1.0))
    result = mapped(TABLE, rule, "float", "f")
    np.testing.assert_allclose(result.to_numpy(), [30.0, 60.0, np.nan, 9.0])


def test_looking_up_and_patterns_and_text():
    names = pd.DataFrame({"n": ["The Crown HOTEL", "Night Club 7", "Elsewhere", None]})
    rule = Column(column="n", patterns={"night ?club": "nightclub", "hotel|pub": "pub"}, default="bar")
    assert mapped(names, rule, "str", "f").tolist() == ["pub", "nightclub", "bar", "bar"]
    assert mapped(names, Column(column="n", title=True), "str", "f").tolist()[0] == "The Crown Hotel"
    assert mapped(TABLE, Column(column="mixed", text="counter-{}"), "str", "f")[0] == "counter-1"
    assert mapped(TABLE, Column(column="type", table={"a": True}, default=False), "bool", "f").tolist() == [
        True, True, True, False,
    ]  # fmt: skip
    assert mapped(TABLE, Column(column="mixed", unknown=[1]), "float", "f").isna().tolist()[0]


def test_rows_are_kept_and_dropped_by_value_as_written():
    assert len(kept_rows(TABLE, {"mixed": [1, 4]}, {}, "f")) == 2
    assert len(kept_rows(TABLE, {}, {"type": ["a"]}, "f")) == 1
    with pytest.raises(RecipeError, match="has no column 'nope'; it has w, type, mixed"):
        kept_rows(TABLE, {"nope": [1]}, {}, "'file.csv'")


def test_a_bad_number_is_quoted_with_its_row():
    with pytest.raises(RecipeError, match="1 values of column 'w' are not numbers, the first is 'many' in row 2"):
        numbers_of(pd.Series(["1", "many"]), "'f'", "w")


def test_bad_files_are_refused_in_words(tmp_path):
    with pytest.raises(RecipeError, match="there is no file"):
        read_csv(tmp_path / "none.csv")
    for name, content, said in (
        ("empty.csv", b"", "is empty"),
        ("head.csv", b"a,b\n", "no rows"),
        ("noise.csv", bytes(range(128, 256)), "cannot be read"),
        ("cut.csv.gz", gzip.compress(b"a,b\n1,2\n" * 1000)[:40], "cannot be read"),
        ("plain.csv.gz", b"a,b\n1,2\n", "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(RecipeError, match=said):
            read_csv(tmp_path / name)


def test_a_byte_order_mark_and_another_separator_are_read(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("\ufeffa;b\n1;é\n".encode())
    assert read_csv(file, ";").to_dict("list") == {"a": ["1"], "b": ["é"]}
