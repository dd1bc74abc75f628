"""Pages written as Zarr (format 3), file by file: the few lines of the format that a page needs.

A layer is one array over (time, northing, easting) with one chunk a step. zarr-python writes the same by way of an
event loop and several threads, which for the 25 layers of a page costs many times what compressing them does; whatever
reads Zarr reads these files (zarr-specs.readthedocs.io, core protocol 3.0; the tests read them with zarr-python).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

Attributes = dict[str, Any]

_LEVEL = 1  # of Zstandard: 3 % larger than level 3 in two thirds of its time


def create_group(path: Path, attributes: Attributes) -> None:
    """An empty group; its folder must not exist yet."""
    path.mkdir(parents=True)
    _describe(path, {"zarr_format": 3, "node_type": "group", "attributes": _plain(attributes)})


def create_array(
    path: Path,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: np.dtype[Any],
    dimensions: tuple[str, ...],
    attributes: Attributes,
) -> None:
    """An array of which nothing is known yet: NaN, or 0 where it holds whole numbers."""
    path.mkdir()
    endian = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
    _describe(
        path,
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if dtype.kind == "f" else 0,
            "codecs": [
                {"name": "bytes"} | endian,
                {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": False}},
            ],
            "dimension_names": dimensions,
            "attributes": _plain(attributes),
        },
    )


def write_chunk(path: Path, index: tuple[int, ...], values: npt.NDArray[Any], *, durable: bool) -> None:
    """One whole chunk of the array at `path`; one of nothing but the fill value is not stored.

    durable : the bytes are on the disk when this returns
    """
    file = path.joinpath("c", *map(str, index))
    if _is_fill(values):
        file.unlink(missing_ok=True)  # of a copied version
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    with open(file, "wb") as handle:  # not beside and renamed: a page is not seen before its commit names it
        handle.write(zstandard.compress(little.data, _LEVEL))
        if durable:
            handle.flush()
            os.fsync(handle.fileno())


def _is_fill(values: npt.NDArray[Any]) -> bool:
    return bool(np.isnan(values).all() if values.dtype.kind == "f" else not values.any())


def _describe(path: Path, content: dict[str, Any]) -> None:
    (path / "zarr.json").write_bytes(msgspec.json.encode(content))


def _plain(attributes: Attributes) -> dict[str, Any]:
    return {str(key): value.item() if isinstance(value, np.generic) else value for key, value in attributes.items()}
