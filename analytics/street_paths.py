"""Shapes of a city as SVG paths: cut to what is drawn, from metres to the units of the drawing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely


def clipped(geometries: Iterable[Any], box: Any, simple_m: float) -> list[Any]:
    """Lines and areas cut to a box (metres), without bends of less than so many metres; the rest is left out."""
    shapes = np.asarray(list(geometries), object)
    near = shapes[shapely.intersects(shapes, box)] if shapes.size else shapes
    cut = shapely.intersection(shapely.simplify(near, simple_m), box) if near.size else near
    return [
        part for part in shapely.get_parts(cut) if not part.is_empty and part.geom_type in ("LineString", "Polygon")
    ]


def path_of(shapes: Iterable[Any], west: float, north: float, scale: float) -> str:
    """The `d` of a path of lines and areas; `west`, `north` is its upper left corner, `scale` its units a metre."""
    parts = []
    for shape in shapes:
        closed = shape.geom_type == "Polygon"
        for ring in [shape.exterior, *shape.interiors] if closed else [shape]:
            points = " ".join(f"{(e - west) * scale:.1f} {(north - n) * scale:.1f}" for e, n in ring.coords)
            parts.append(f"M{points}" + ("Z" if closed else ""))
    return "".join(parts)
