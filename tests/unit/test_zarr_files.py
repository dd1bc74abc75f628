from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analytics.zarr_files import create_array, create_group, write_chunk

TYPES = ("float32", "float64", "uint8", "uint16", "int64")


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(TYPES), st.integers(1, 3))
def test_zarr_python_reads_the_bits_that_were_written(tmp_path_factory, data, dtype, steps):
    path = tmp_path_factory.mktemp("pages") / "page.zarr"
    shape = (data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5)))
    values = [data.draw(arrays.arrays(dtype, (1, *shape))) for _ in range(steps)]
    create_group(path, {"level": "public", "cell_m": np.float32(50)})
    dimensions = ("time", "northing", "easting")
    create_array(path / "layer", (steps, *shape), (1, *shape), np.dtype(dtype), dimensions, {"units": "lx"})
    for row, chunk in enumerate(values):
        write_chunk(path / "layer", (row, 0, 0), chunk, durable=row == 0)
    group = zarr.open_group(str(path), mode="r")
    read = group["layer"]
    assert group.attrs.asdict() == {"level": "public", "cell_m": 50.0}
    assert read.attrs.asdict() == {"units": "lx"} and read.metadata.dimension_names == dimensions
    assert read.dtype == np.dtype(dtype) and read.chunks == (1, *shape)
    np.testing.assert_array_equal(read[:], np.concatenate(values))


@pytest.mark.parametrize(("dtype", "unknown"), [("float32", np.nan), ("uint8", 0)])
def test_what_was_never_written_is_not_known(tmp_path: Path, dtype: str, unknown: float) -> None:
    create_group(tmp_path / "page.zarr", {})
    layer = tmp_path / "page.zarr" / "layer"
    create_array(layer, (2, 3, 4), (1, 3, 4), np.dtype(dtype), ("time", "northing", "easting"), {})
    write_chunk(layer, (1, 0, 0), np.ones((1, 3, 4), dtype), durable=False)
    read = zarr.open_array(str(layer), mode="r")[:]
    np.testing.assert_array_equal(read[0], np.full((3, 4), unknown, dtype))
    np.testing.assert_array_equal(read[1], np.ones((3, 4), dtype))


def test_a_chunk_that_becomes_unknown_again_leaves_no_old_values(tmp_path: Path) -> None:
    create_group(tmp_path / "page.zarr", {})
    layer = tmp_path / "page.zarr" / "layer"
    create_array(layer, (1, 2, 2), (1, 2, 2), np.dtype("f4"), ("time", "northing", "easting"), {})
    for values in (np.ones((1, 2, 2), "f4"), np.full((1, 2, 2), np.nan, "f4")):
        write_chunk(layer, (0, 0, 0), values, durable=True)
    assert np.isnan(zarr.open_array(str(layer), mode="r")[:]).all()
