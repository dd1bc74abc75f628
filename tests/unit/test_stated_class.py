import geopandas
import pytest
from shapely.geometry import LineString

from analytics.stated_class import stated
from sensors.errors import LightingError


@pytest.fixture
def sections():
    names = ["High Street", "High Street", "Mill Lane", None]
    lines = [LineString([(0, place), (50, place)]) for place in range(4)]
    columns = {
        "section": [10, 11, 12, 13], "street": [1, 1, 2, 3], "name": names, "required_class": ["P4"] * 4,
        "class_source": ["assumed"] * 4,
    }  # fmt: skip
    return geopandas.GeoDataFrame(columns, geometry=lines, crs="EPSG:3067")


def given(tmp_path, text):
    file = tmp_path / "required_classes.csv"
    file.write_text(text, "utf-8")
    return file


def test_the_nearer_row_goes_before_whatever_the_order(tmp_path, sections):
    text = "section,street,name,required_class\n11,,,P1\n,,HIGH street,P3\n,1,,P2\n,,Mill Lane,C4\n"
    found = stated(sections, given(tmp_path, text))
    assert found.required_class.tolist() == ["P2", "P1", "C4", "P4"]
    assert found.class_source.tolist() == ["stated", "stated", "stated", "assumed"]
    assert sections.required_class.tolist() == ["P4"] * 4  # the city's own table stays as it is


def test_hours_faces_and_sources_are_taken_over(tmp_path, sections):
    text = (
        'name;required_class;required_by_hour;required_sc;class_source\nMill Lane;P3;"18:00 P3; 23:00 P4";SC5;council\n'
    )
    found = stated(sections, given(tmp_path, text))
    assert found.iloc[2][["required_by_hour", "required_sc", "class_source"]].tolist() == [
        "18:00 P3; 23:00 P4",
        "SC5",
        "council",
    ]
    assert found.required_sc.tolist() == ["", "", "SC5", ""]


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "expected section, street or name"),
        ("name\nMill Lane\n", "expected section, street or name"),
        ("name,required_class\nMil Lane,P3\n", "line 2: the city has no name 'Mil Lane'"),
        ("name,required_class\n,P3\n", "line 2 names no section"),
        ("street,required_class\n1,P9\n", "required_class 'P9' is none of"),
        (
            "street,required_class,required_by_hour\n1,P3,18:00 P3. 23:00 P4\n",
            "line 2: required_by_hour '18:00 P3. 23:00",
        ),
        ("street,required_sc\n1,P3\n", "required_sc 'P3' is none of the classes SC"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, sections, text, said):
    with pytest.raises(LightingError) as caught:
        stated(sections, given(tmp_path, text))
    assert said in str(caught.value)
