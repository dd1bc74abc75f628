"""A small table that somebody wrote in a spreadsheet: CSV with commas, semicolons or tabs, and decimal commas."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from sensors.errors import LightingError

_MOST_BYTES_A_ROW = 400

Rows = list[tuple[int, dict[str, str]]]


def read_table(file: Path, expected: str, most_rows: int) -> tuple[list[str], Rows]:
    """The names of a CSV's columns in lower case, and its rows with their lines, cells without blanks around.

    LightingError for what is no such file. Cells are as written; `number` reads those that hold one.

    expected : the columns that a file should have, for people
    """
    most = most_rows * _MOST_BYTES_A_ROW
    try:
        size = file.stat().st_size
        raw = file.read_bytes() if size <= most and file.is_file() else b""
    except OSError as error:
        raise LightingError(f"{file} cannot be read ({error.strerror}); name a CSV with {expected}") from error
    if not file.is_file():
        raise LightingError(f"{file} is no file; name a CSV with {expected}")
    if size > most or raw.count(b"\n") > most_rows + 1:
        raise LightingError(f"{file} has more than {most_rows:,} rows or {most / 1e6:g} MB; such a table has no more")
    text = raw.decode("utf-8-sig", "replace")
    separator = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text), delimiter=separator)
    names: list[str] = []
    rows: Rows = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = [cell.strip().lower() for cell in cells]
                continue
            if len(cells) > len(names):
                raise LightingError(
                    f"{file} line {reader.line_num} has {len(cells)} cells for {len(names)} columns; with decimal "
                    "commas part the columns by semicolons"
                )
            rows.append((reader.line_num, dict(zip(names, (cell.strip() for cell in cells), strict=False))))
    except csv.Error as error:
        raise LightingError(f"{file} line {reader.line_num} is no CSV ({error})") from error
    return names, rows


def number(text: str) -> float:
    """A number with a decimal point or a decimal comma; ValueError for anything else."""
    return float(text.replace(",", "."))
