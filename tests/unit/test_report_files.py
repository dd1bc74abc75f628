"""Files of reporting apps are read as their formats say, bounded, and nobody's identity is looked at."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import report_files
from ingest.report_files import read_reports
from sensors.errors import AnswerError

# Made up for these tests; no line of it is from a real server.
REQUEST = {
    "service_request_id": "638344",
    "status": "closed",
    "status_notes": "Replaced the driver.",
    "service_name": "Street light out",
    "service_code": "sl-01",
    "description": "The lamp at the corner is dark",
    "agency_responsible": "Lighting Services",
    "service_notice": "Within ten days",
    "requested_datetime": "2026-11-10T21:08:00+02:00",
    "updated_datetime": "2026-11-14T10:00:00+02:00",
    "expected_datetime": "2026-11-20T10:00:00+02:00",
    "address": "8 Secret Street",
    "address_id": 545483,
    "zipcode": 94122,
    "lat": 60.17,
    "long": 24.94,
    "media_url": "http://example.org/face.jpg",
    "first_name": "Anna",
    "phone": "+358401234567",
}
HEADER = (
    "Report ID,Title,Detail,User Name,Category,Subcategory,Created,Confirmed,Acknowledged,Fixed,Closed,Status,Latitude,"
    "Longitude,Query,Ward,Easting,Northing,Report URL,Device Type,Site Used,Reported As"
)
ROW = (
    '7,"Lamp, dark","It is\nvery dark",Anna Nym,Street lighting,,2026-11-10T21:00:00,2026-11-10T21:05:00,'
    "2026-11-12T09:00:00,,,investigating,60.17,24.94,AB1 2CD,Centre,1,2,https://example.org/7,website,default,"
)


def as_xml(request, before=""):
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in request.items())
    whole = f"<service_requests><request>{fields}</request></service_requests>"
    return f'<?xml version="1.0" encoding="utf-8"?>{before}{whole}'


def written(tmp_path, text, name="requests.json"):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_json_and_xml_of_the_same_requests_are_the_same_reports(tmp_path):
    system, plain = read_reports(written(tmp_path, json.dumps([REQUEST])))
    assert (system, plain) == read_reports(written(tmp_path, as_xml(REQUEST), "requests.xml"))
    (one,) = plain
    assert (one.number, one.code, one.category) == ("638344", "sl-01", "Street light out")
    assert (one.latitude, one.longitude, one.agency, one.closed) == ("60.17", "24.94", "Lighting Services", True)
    assert "corner is dark" in one.text and "driver" in one.text


def test_a_csv_of_fixmystreet_is_read_by_its_headers(tmp_path):
    system, (one,) = read_reports(written(tmp_path, f"{HEADER}\n{ROW}\n", "export.csv"))
    assert system == "fixmystreet" and (one.number, one.category, one.closed) == ("7", "Street lighting", False)
    assert one.requested == "2026-11-10T21:05:00" and one.replied == "2026-11-12T09:00:00"
    assert "very dark" in one.text


@pytest.mark.parametrize("content", [json.dumps([REQUEST]), as_xml(REQUEST), f"{HEADER}\n{ROW}\n"])
def test_who_reported_and_where_they_live_is_in_no_report(tmp_path, content):
    _, reports = read_reports(written(tmp_path, content))
    for word in ("Anna", "Secret", "face.jpg", "358401234567", "AB1 2CD", "545483", "example.org"):
        assert word not in repr(reports)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (as_xml(REQUEST, '<!DOCTYPE r [<!ENTITY a "aaaa">]>'), "declares a document type"),
        (as_xml(REQUEST, '<!DOCTYPE r SYSTEM "http://192.0.2.1/x">'), "declares a document type"),
        ("<a>" * 20 + "</a>" * 20, "elements more than 12 deep"),
        ("<services><service/></services>", "begins with <services>"),
        ("<service_requests><request>", "is no XML"),
        ("[" * 100_000, "is no JSON"),
        ('{"error": "no"}', "holds no list of service requests"),
        ('[{"service_code": "1"}]', "has a service_request_id"),
        ("[]", "holds no report"),
        ("Report ID,Title\n1,x\n", "has no column category, latitude, longitude"),
        ("", "neither Open311"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (HEADER + "\n" + '"' + "x" * 200_000, "is no table"),
    ],
)
def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path, content, sentence):
    with pytest.raises(AnswerError, match=sentence):
        read_reports(written(tmp_path, content, "some.file"))


def test_a_file_is_bounded_in_bytes_and_in_reports(tmp_path, monkeypatch):
    monkeypatch.setattr(report_files, "MOST_REPORTS", 2)
    for content in (json.dumps([REQUEST] * 3), f"{HEADER}\n" + f"{ROW}\n" * 3):
        with pytest.raises(AnswerError, match="more than 2 reports"):
            read_reports(written(tmp_path, content))
    monkeypatch.setattr(report_files, "LARGEST_BYTES", 100)
    with pytest.raises(AnswerError, match="at most 100 are read"):
        read_reports(written(tmp_path, json.dumps([REQUEST])))


def test_fields_of_another_type_or_length_say_nothing_and_break_nothing(tmp_path):
    odd = REQUEST | {"description": ["a"], "lat": {"x": 1}, "long": True, "agency_responsible": "x" * 10_000}
    _, reports = read_reports(written(tmp_path, json.dumps([odd, 3, None, REQUEST])))
    assert (reports[0].latitude, reports[0].longitude, len(reports[0].agency)) == ("", "", 300)
    assert [one.number for one in reports] == ["638344", "", "", "638344"]


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_whatever_the_bytes_a_file_is_read_or_refused(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.reports"
    file.write_bytes(content)
    try:
        _, reports = read_reports(file)
    except AnswerError:
        return
    assert all(one.row > 0 for one in reports)
