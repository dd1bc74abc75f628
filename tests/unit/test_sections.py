"""Laws of cutting streets into sections."""

import geopandas
import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from sensors.lanterns import REQUIRED_CLASS_OF_STREET
from sensors.sections import cut_lines, middles, sections_of


@given(st.lists(st.floats(0.5, 5000.0), min_size=1, max_size=6), st.floats(5.0, 500.0))
def test_pieces_are_short_enough_and_add_up_to_the_line(lengths, longest_m):
    lines = np.array([shapely.LineString([(0, row), (length, row)]) for row, length in enumerate(lengths)])
    pieces, of = cut_lines(lines, longest_m)
    assert shapely.length(pieces).max() <= longest_m * (1 + 1e-9)
    np.testing.assert_allclose(np.bincount(of, shapely.length(pieces)), lengths, rtol=1e-9)


def test_only_walkable_streets_have_sections_and_each_knows_its_street():
    streets = geopandas.GeoDataFrame(
        {
            "street": [7, 8],
            "name": ["Long Street", "Motorway"],
            "kind": ["residential", "motorway"],
            "walkable": [True, False],
        },
        geometry=[shapely.LineString([(0, 0), (150, 0)]), shapely.LineString([(0, 9), (500, 9)])],
        crs="EPSG:3067",
    )
    sections = sections_of(streets, REQUIRED_CLASS_OF_STREET)
    assert sections.street.tolist() == [7, 7]
    assert sections.required_class.tolist() == ["P4", "P4"]
    assert sections.class_source.tolist() == ["assumed", "assumed"]
    np.testing.assert_allclose(middles(sections.geometry.to_numpy()), [[37.5, 0.0], [112.5, 0.0]])
