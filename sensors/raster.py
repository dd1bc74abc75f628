"""A GeoTIFF averaged onto the city's cells: any projection, rotation, band and nodata, in bounded memory.

Values are converted before they are averaged, since decibels average as energy and not as numbers. The raster is read
tile by tile of the city's grid, each with the window of pixels under it; what lies outside the grid is never read.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from sensors.city import City
from sensors.errors import LayerError

FINEST_M = 0.5  # a person from above is about that wide: in a coarser pixel nobody can be seen
_TILE_PIXELS = 3_000_000  # of a window held at once: 12 MB as float32, ten times that while it is averaged
_BLOCK_BYTES = 256_000_000  # a GeoTIFF whose one strip is larger must be read whole to read any of it
_COVERED = 0.5  # a cell is known where pixels cover at least half of it
_NOTHING = -3.0e38  # nodata while warping: no value of ours

Convert = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class OnGrid:
    """What a raster says of each cell, (northing, easting) ascending; NaN where it says nothing.

    value : as the back conversion gave it; pixel_m : side of a pixel in metres; outside : pixels that were out of range
    """

    value: npt.NDArray[np.float32]
    pixel_m: float
    pixels: int
    outside: int


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Which band of a GeoTIFF counts and what its numbers mean: value = scale x number + offset, or by class."""

    number: int = 1
    scale: float | None = None  # None: as the file's own tags say, 1 without them
    offset: float | None = None
    nodata: float | None = None  # besides what the file declares
    classes: tuple[tuple[float, float], ...] = ()  # number in the file -> value
    factor: float = 1.0  # of the unit, last of all


def read_onto_grid(
    file: Path,
    city: City,
    band: Band,
    *,
    least: float,
    most: float,
    to_mean: Convert | None = None,
    from_mean: Convert | None = None,
    crs: str = "",
) -> OnGrid:
    """Average a band of a GeoTIFF over the cells of a city.

    Parameters
    ----------
    least, most : what a value can be; pixels beyond count as unknown
    to_mean, from_mean : applied to values before they are averaged, and to the averages
    crs : of a file that does not say its own
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    if not file.is_file():
        raise LayerError(f"there is no file '{file}'")
    try:
        with warnings.catch_warnings(), rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_CACHEMAX=64):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(file, driver="GTiff") as source:  # no VRT: it could name other files, or addresses
                _check(source, file, band, crs)
                return _averaged(source, city, band, crs or source.crs, least, most, to_mean, from_mean, file)
    except (RasterioError, OSError) as error:
        raise LayerError(f"{file} cannot be read as a GeoTIFF ({_first_line(error)})") from error


def _check(source: Any, file: Path, band: Band, crs: str) -> None:
    if source.crs is None and not crs:
        raise LayerError(f"{file} does not say its projection; name it with --crs, like EPSG:3067")
    if source.transform.is_identity:
        raise LayerError(
            f"{file} does not say where it lies (no geotransform); write it with one, e.g. by gdal_translate"
        )
    if abs(source.transform.determinant) == 0 or not np.all(np.isfinite(source.transform[:6])):
        raise LayerError(f"{file} has a geotransform without area ({tuple(source.transform)[:6]})")
    if not 1 <= band.number <= source.count:
        raise LayerError(f"{file} has {source.count} bands, there is no band {band.number}")
    kind = np.dtype(source.dtypes[band.number - 1])
    if kind.kind not in "iuf":
        raise LayerError(f"{file}: band {band.number} holds {kind}, expected whole or real numbers")
    height, width = source.block_shapes[band.number - 1]
    planes = source.count if source.interleaving and source.interleaving.name == "pixel" else 1
    if height * width * kind.itemsize * planes > _BLOCK_BYTES:
        raise LayerError(
            f"{file} is stored in blocks of {width} x {height} pixels and can only be read whole; write it in tiles, "
            "e.g. with gdal_translate -co TILED=YES"
        )


def _averaged(
    source: Any,
    city: City,
    band: Band,
    crs: Any,
    least: float,
    most: float,
    to_mean: Convert | None,
    from_mean: Convert | None,
    file: Path,
) -> OnGrid:
    from rasterio.transform import Affine
    from rasterio.warp import Resampling, reproject

    grid = city.settings.grid
    rows, columns = round((grid.north - grid.south) / grid.cell_m), round((grid.east - grid.west) / grid.cell_m)
    outline = _outline(source, city, crs)
    pixel_m = _pixel_m(source, city, crs, outline, file)
    if pixel_m <= FINEST_M:
        raise LayerError(
            f"{file} has pixels of {pixel_m:.2f} m, in which a person could be seen; only rasters with pixels larger "
            f"than {FINEST_M:g} m are taken: average it outside, at the source, and import that"
        )
    value = np.full((rows, columns), np.nan, np.float32)
    side = max(1, min(512, int(np.sqrt(_TILE_PIXELS) * pixel_m / grid.cell_m / 2)))
    seen = outside = 0
    for south in range(0, rows, side):
        for west in range(0, columns, side):
            shape = (min(side, rows - south), min(side, columns - west))
            corner_north = grid.south + (south + shape[0]) * grid.cell_m
            corner_west = grid.west + west * grid.cell_m
            window = _window(source, city, crs, corner_west, corner_north, shape, grid.cell_m)
            if window is None:
                continue
            numbers = source.read(band.number, window=window, masked=True)
            known, values = _values(numbers, source, band)
            possible = known & (values >= least) & (values <= most)
            seen += int(known.sum())
            outside += int(known.sum() - possible.sum())
            if not possible.any():
                continue
            with np.errstate(all="ignore"):
                prepared = values if to_mean is None else to_mean(values)
            tile = np.full(shape, _NOTHING, np.float32)
            share = np.zeros(shape, np.float32)
            options = {
                "src_transform": _moved(source.transform, window.col_off, window.row_off),
                "src_crs": crs,
                "dst_transform": Affine(grid.cell_m, 0, corner_west, 0, -grid.cell_m, corner_north),
                "dst_crs": city.crs,
                "resampling": Resampling.average,
                "num_threads": 1,
            }
            held = np.where(possible, prepared, np.float32(_NOTHING)).astype(np.float32)
            reproject(held, tile, src_nodata=_NOTHING, dst_nodata=_NOTHING, init_dest_nodata=True, **options)
            reproject(possible.astype(np.float32), share, **options)
            whole = (tile > _NOTHING / 2) & (share >= _COVERED)
            found = np.where(whole, tile, np.nan).astype(np.float32)
            value[south : south + shape[0], west : west + shape[1]] = found[::-1]  # a GeoTIFF's rows go south
    if from_mean is not None:
        with np.errstate(all="ignore"):
            value = from_mean(value)
    return OnGrid(value, pixel_m, seen, outside)


def _values(numbers: Any, source: Any, band: Band) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Which pixels say something and what, in the layer's unit."""
    raw = np.ma.getdata(numbers).astype(np.float64)
    known = ~np.ma.getmaskarray(numbers) & np.isfinite(raw)
    if band.nodata is not None:
        known &= raw != band.nodata
    if band.classes:
        table = np.array(sorted(band.classes), np.float64)
        at = np.searchsorted(table[:, 0], raw).clip(0, len(table) - 1)
        known &= table[at, 0] == raw
        return known, (table[at, 1] * band.factor).astype(np.float32)
    index = band.number - 1
    scale = source.scales[index] if band.scale is None else band.scale
    offset = source.offsets[index] if band.offset is None else band.offset
    with np.errstate(all="ignore"):
        return known, ((raw * scale + offset) * band.factor).astype(np.float32)


def _outline(source: Any, city: City, crs: Any) -> tuple[float, float]:
    """A place in the file's projection where a pixel is measured: the grid's middle, or the raster's where apart."""
    from rasterio.warp import transform

    grid = city.settings.grid
    x, y = transform(city.crs, crs, [(grid.west + grid.east) / 2], [(grid.south + grid.north) / 2])
    column, row = _applied(~source.transform, x[0], y[0])
    if np.isfinite(column) and 0 <= column < source.width and 0 <= row < source.height:
        return column, row
    return source.width / 2, source.height / 2


def _pixel_m(source: Any, city: City, crs: Any, at: tuple[float, float], file: Path) -> float:
    """Metres along the shorter side of a pixel, whatever the unit and the rotation of the file."""
    from rasterio.warp import transform

    column, row = at
    corners = [_applied(source.transform, column + right, row + down) for right, down in ((0, 0), (1, 0), (0, 1))]
    east, north = transform(crs, city.crs, [x for x, _ in corners], [y for _, y in corners])
    if not np.all(np.isfinite([*east, *north])):
        raise LayerError(f"{file} lies where the city's projection {city.crs} does not reach")
    return float(min(np.hypot(east[i] - east[0], north[i] - north[0]) for i in (1, 2)))


def _window(
    source: Any, city: City, crs: Any, west: float, north: float, shape: tuple[int, int], cell_m: float
) -> Any | None:
    """The window of pixels under a tile of cells, two pixels wider, or None where there are none."""
    from rasterio.warp import transform
    from rasterio.windows import Window

    along = np.linspace(0.0, 1.0, 9)  # edges bend between projections
    across, down = shape[1] * cell_m, shape[0] * cell_m
    east = np.concatenate([west + along * across] * 2 + [np.full(9, west), np.full(9, west + across)])
    south = np.concatenate([np.full(9, north), np.full(9, north - down)] + [north - along * down] * 2)
    x, y = transform(city.crs, crs, east.tolist(), south.tolist())
    column, row = _applied(~source.transform, np.asarray(x), np.asarray(y))
    inside = np.isfinite(column) & np.isfinite(row)
    if not inside.all():
        return None
    first_column, last_column = (
        max(int(np.floor(column.min())) - 2, 0),
        min(int(np.ceil(column.max())) + 2, source.width),
    )
    first_row, last_row = max(int(np.floor(row.min())) - 2, 0), min(int(np.ceil(row.max())) + 2, source.height)
    if first_column >= last_column or first_row >= last_row:
        return None
    return Window(first_column, first_row, last_column - first_column, last_row - first_row)


def _applied(transform: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """A geotransform applied to numbers or arrays; its operator for that changes between versions of its package."""
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def _moved(transform: Any, column: int, row: int) -> Any:
    """The geotransform of the part of a raster that begins at a column and row."""
    from rasterio.transform import Affine

    x, y = _applied(transform, column, row)
    return Affine(transform.a, transform.b, x, transform.d, transform.e, y)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
