"""The answer form's door: what a phone may send, what becomes of it, and what is refused with a sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely import Point

from dashboard import ask_page as page_of
from dashboard.app import build
from dashboard.asking import MOST_BYTES
from dashboard.street_list import street_list
from ingest.archive import answers
from ingest.inbox import collect
from sensors.city import AskingCampaign, AskingSettings, City, read_settings, write_settings
from sensors.clock import set_clock
from sensors.errors import CityError
from sensors.inbox import read_note, waiting
from sensors.walk import Walk, WalkSettings, make_stops, write_walk
from tests.synthetic_city import SOUTH, WEST, make_city
from tests.unit.test_app import ask
from tests.unit.test_surveys import TO_LONLAT

NOW = np.datetime64("2026-11-20T20:05", "ms")
PLENTY = AskingSettings(
    form=True,
    items=("worry-4",),
    campaigns=(AskingCampaign(id="stand", trigger="intercept", until="2026-11-30"),),
    each_per_hour=1e5,
    each_burst=10**5,
    all_per_minute=1e5,
)


def town(folder, asking=PLENTY, now=NOW):
    city = make_city(folder)
    write_settings(city.path, msgspec.structs.replace(city.settings, asking=asking))
    set_clock(city.path, now, 1.0)
    return City.open(city.path)


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    made = town(tmp_path_factory.mktemp("asking") / "town")
    points = [Point(WEST + 60.0, SOUTH + 100.0), Point(WEST + 260.0, SOUTH + 200.0)]
    stops = make_stops(made, ["Kiosk", "Bridge <b>"], points, [-1, -1])
    settings = WalkSettings(format=1, id="harbour", title="Round <the> harbour", date="2026-11-20")
    write_walk(made, Walk(msgspec.convert(msgspec.to_builtins(settings), WalkSettings), stops))
    return made


@pytest.fixture(scope="module")
def app(city):
    return build(city.path, switch=True, warm=False)


@pytest.fixture(autouse=True)
def empty_inbox(city):
    yield
    for path in waiting(city):
        path.unlink()


def filled(**changes):
    fields = {
        "consent": "ask-1",
        "id": "0123456789abcdef",
        "phone": "fedcba9876543210",
        "street": "Middle Road · East Street",
        "item-core-4": "3",
        "gender": "woman",
        "alone": "alone",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def send(app, fields, path="/ask", **more):
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
    status, found, answer = ask(app, path, method="POST", body=body, headers=headers, **more)
    return status, json.loads(answer) if answer else {}, found


def left(city):
    return [read_note(path) for path in waiting(city)]


def test_an_answer_gets_a_receipt_and_is_coarse_before_it_is_written(app, city):
    lon, lat = TO_LONLAT.transform(WEST + 166.0, SOUTH + 111.0)
    status, said, _ = send(app, filled(street=None, lat=f"{lat:.4f}", lon=f"{lon:.4f}"))
    assert status == 200 and re.fullmatch(r"([0-9A-Z]{4}-){3}[0-9A-Z]{4}", said["receipt"])
    (path,) = waiting(city)
    note = read_note(path)
    middles = city.places("sections").geometry.interpolate(0.5, normalized=True)
    assert (note.easting, note.northing) in set(zip(middles.x, middles.y, strict=True))
    assert note.time == "2026-11-20T20:00:00.000Z" and note.light_state == "dark"
    assert (note.trigger, note.campaign, note.origin) == ("spontaneous", "ask-2026-11", "simulated")
    assert " · " in said["kept"]  # what is kept is told: the street's name, and no finer
    written = path.read_text()
    assert f"{lat:.2f}" not in written and f"{lon:.2f}" not in written and "127.0.0.1" not in written
    assert "fedcba" not in written and "0123456789" not in written


def test_sending_twice_leaves_one_answer_with_one_receipt(app, city):
    first, second = send(app, filled())[1], send(app, filled())[1]
    assert first["receipt"] == second["receipt"] and len(waiting(city)) == 1


def test_the_form_works_without_scripts(app, city):
    page = ask(app, "/ask?lang=fr")[2].decode()
    word = re.search(r'name="id" value="([^"]+)"', page)[1]
    body = urlencode(filled(id=word, phone="", lang="fr")).encode()
    status, headers, answer = ask(app, "/ask", method="POST", body=body)
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "Votre reçu" in answer.decode() and len(waiting(city)) == 1
    status, _, answer = ask(app, "/ask", method="POST", body=urlencode(filled(street="Nowhere")).encode())
    assert status == 400 and 'role="alert"' in answer.decode() and 'id="form"' in answer.decode()


def test_answers_of_one_phone_are_one_persons_for_a_month(app, city):
    for number in range(3):
        send(app, filled(id=f"{number:016x}"))
    send(app, filled(id="f" * 16, phone="another_phone_01"))
    send(app, filled(id="e" * 16, phone=None))
    people = [note.pseudonym for note in left(city)]
    assert len(set(people)) == 3 and people.count("") == 1


def test_by_day_the_light_is_day(tmp_path):
    city = town(tmp_path / "day", now=np.datetime64("2026-11-20T10:05", "ms"))
    assert send(build(city.path, switch=True, warm=False), filled())[0] == 200
    assert left(city)[0].light_state == "day"


def test_an_answer_that_waited_is_as_old_as_it_waited(app, city):
    send(app, filled(waited_s="7200"))
    assert left(city)[0].time == "2026-11-20T18:00:00.000Z"


def test_only_a_listed_campaign_or_a_walk_changes_the_trigger(app, city):
    for number, more in enumerate([{"campaign": "stand"}, {"campaign": "made-up"}, {"trigger": "panel"}]):
        send(app, filled(id=f"{number:016x}", **more))
    kept = {(note.campaign, note.trigger) for note in left(city)}
    assert kept == {("ask-stand", "intercept"), ("ask-2026-11", "spontaneous")}


def test_a_campaign_that_is_over_is_spontaneous(tmp_path):
    city = town(tmp_path / "over", now=np.datetime64("2026-12-02T20:05", "ms"))
    send(build(city.path, switch=True, warm=False), filled(campaign="stand"))
    assert (left(city)[0].campaign, left(city)[0].trigger) == ("ask-2026-12", "spontaneous")


def test_a_walks_stop_is_prompted_and_in_the_walks_campaign(app, city):
    status, said, _ = send(app, filled(walk="harbour", stop="2", street=None))
    assert status == 200 and "Bridge" in said["kept"]
    assert (left(city)[0].campaign, left(city)[0].trigger) == ("walk-harbour", "prompted")


def test_a_walks_answers_after_its_night_are_spontaneous(tmp_path, city):
    late = town(tmp_path / "late", now=np.datetime64("2026-11-21T11:00", "ms"))
    import shutil

    shutil.copytree(city.path / "walks", late.path / "walks")
    send(build(late.path, switch=True, warm=False), filled(walk="harbour", stop="2", street=None))
    assert left(late)[0].trigger == "spontaneous"


def test_the_walks_page_lists_its_stops_and_chooses_one(app):
    page = ask(app, "/ask?walk=harbour&stop=2")[2].decode()
    assert '<option value="2" selected>2. Bridge &lt;b&gt;' in page and "Round &lt;the&gt; harbour" in page
    assert "not known" in ask(app, "/ask?walk=elsewhere&lang=en")[2].decode()


def test_further_items_are_optional_and_turned(app, city):
    send(app, filled(**{"item-worry-4": "1"}))
    (note,) = left(city)
    assert [(one.instrument, one.category, one.k) for one in note.items] == [("core-4", 3, 4), ("worry-4", 4, 4)]


def test_an_erasure_reaches_the_answers(app, city):
    receipt = send(app, filled())[1]["receipt"]
    collect(city)
    assert len(answers(city)) == 1
    assert send(app, {"receipt": receipt.lower()}, "/ask/erase")[0] == 200
    collect(city)
    assert answers(city).empty


@pytest.mark.parametrize("receipt", ["", "0000-0000-0000-0000", "x" * 150, "<script>"])
def test_a_receipt_with_a_slip_is_told(app, city, receipt):
    status, said, _ = send(app, {"receipt": receipt}, "/ask/erase")
    assert status == 400 and "sixteen" in said["error"] and waiting(city) == []


BAD = [
    ("consent", None), ("consent", "yes"), ("id", ""), ("id", "short"), ("id", "x" * 65), ("id", "../../../../etc/pw"),
    ("phone", "<b>"), ("item-core-4", None), ("item-core-4", "0"), ("item-core-4", "5"), ("item-core-4", "-1"),
    ("item-core-4", "3.5"), ("item-core-4", "٣"), ("item-core-4", "99999999"), ("item-worry-4", "7"),
    ("gender", "robot"), ("age_band", "12"), ("alone", "Alone'; --"), ("role", "mayor"), ("familiarity", "x" * 200),
    ("disability", "\u0000"), ("street", None), ("street", ""), ("street", "Nowhere Lane"), ("street", "Mi"),
    ("street", "\u202e\u0000"), ("lat", "60.1"), ("waited_s", "-5"), ("waited_s", "1e9"), ("waited_s", "604801"),
    ("waited_s", "soon"), ("waited_s", "nan"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_field_that_is_wrong_is_told_in_a_sentence_and_leaves_nothing(app, city, name, value):
    status, said, _ = send(app, filled(**{name: value}))
    assert status == 400 and re.search(r"\.$|Choose one of: ", said["error"])
    assert said["field"] in (name, "lon", "street") and waiting(city) == []


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        ("0", "0"),
        ("91", "24"),
        ("60.1", "181"),
        ("1e1", "24"),
        ("NaN", "24"),
        ("60.1", "inf"),
        ("60,1699", "25.9"),
        ("", "24.9"),
    ],
)
def test_a_place_that_is_not_in_the_city_is_refused(app, city, lat, lon):
    assert send(app, filled(street=None, lat=lat, lon=lon))[0] == 400 and waiting(city) == []


def test_a_stop_that_is_not_of_the_walk_is_refused(app):
    for stop in ("0", "3", "999", "-1", "x", "2.0"):
        assert send(app, filled(walk="harbour", stop=stop, street=None))[1]["field"] == "stop"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"[[[" * 4_000, b"\xff\xfe", b'{"a":' * 2_000, b"x" * (MOST_BYTES + 1),
     json.dumps({str(i): "" for i in range(200)}).encode(), json.dumps({"consent": "x" * 300}).encode()],
)  # fmt: skip
def test_a_body_that_is_no_answer_is_refused(app, city, body):
    assert send(app, body)[0] == 400 and waiting(city) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([*filled(), "lat", "lon", "walk", "stop", "campaign", "waited_s", "lang", "item-worry-4", "x"]),
        st.one_of(st.text(max_size=40), st.integers(), st.floats(), st.none(), st.lists(st.integers(), max_size=2)),
    )
)
def test_nothing_that_is_sent_makes_an_error_of_ours(app, city, fields):
    status, said, _ = send(app, filled() | fields)
    assert status in (200, 400) and said
    done = collect(city)
    assert done.unread == []


def test_too_many_are_told_to_wait_and_nothing_is_lost_on_the_phone(tmp_path):
    asking = AskingSettings(form=True, each_per_hour=1, each_burst=2, all_per_minute=100)
    app = build(town(tmp_path / "busy", asking).path, switch=True, warm=False)
    replies = [send(app, filled(id=f"{number:016x}")) for number in range(3)]
    assert [status for status, _, _ in replies] == [200, 200, 429]
    assert "try again" in replies[2][1]["error"] and replies[2][2]["retry-after"] == "60"


def test_a_full_inbox_is_a_503_with_a_sentence(app, city, monkeypatch):
    from sensors import inbox

    monkeypatch.setattr(inbox, "MOST_WAITING", 0)
    status, said, _ = send(app, filled())
    assert status == 503 and "later" in said["error"]


def test_another_site_cannot_send_an_answer(app, city):
    headers = [(b"content-type", b"application/json"), (b"sec-fetch-site", b"cross-site")]
    assert ask(app, "/ask", method="POST", body=json.dumps(filled()).encode(), headers=headers)[0] == 403
    assert waiting(city) == []


def test_a_city_that_does_not_ask_has_no_form(tmp_path):
    closed = build(make_city(tmp_path / "closed").path, switch=True, warm=False)
    for method, path in (("GET", "/ask"), ("POST", "/ask"), ("POST", "/ask/erase"), ("GET", "/ask/form.js")):
        status, _, body = ask(closed, path, method=method)
        assert status == 404 and b"does not take answers" in body


@pytest.mark.parametrize("path", ["/ask/x", "/ask/../city.toml", "/ask/form.js/x", "/asking", "/ask/erase/x"])
def test_there_is_nothing_else_under_the_form(app, path):
    assert ask(app, path)[0] == 404


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
def test_the_form_follows_the_theme_of_its_address_and_keeps_it(app, theme):
    page = ask(app, f"/ask?lang=fr&theme={theme}&campaign=stand")[2].decode()
    assert f'<html data-theme="{theme}" lang="fr">' in page
    assert f'href="/ask?theme={theme}&amp;lang=en&amp;campaign=stand"' in page
    assert f'action="/ask?theme={theme}"' in page and f'action="/ask/erase?theme={theme}"' in page
    kind = [(b"content-type", b"application/x-www-form-urlencoded"), (b"sec-fetch-site", b"same-origin")]
    sent = ask(app, f"/ask/erase?theme={theme}", method="POST", body=b"lang=fr&receipt=x", headers=kind)[2].decode()
    assert f'data-theme="{theme}"' in sent and f'href="/ask?theme={theme}&amp;lang=fr"' in sent


@pytest.mark.parametrize("theme", ["", "red", "dark%22%3E", "DARK"])
def test_a_theme_that_is_none_is_left_to_the_device(app, theme):
    page = ask(app, f"/ask?lang=en&theme={theme}")[2].decode()
    assert "data-theme" not in page and "theme=" not in page


@pytest.mark.parametrize("theme", ["dark", "light", "contrast"])
def test_the_form_has_the_grounds_and_inks_of_the_other_pages(theme):
    room = Path(page_of.__file__).parent

    def tokens(text, selector):
        found = re.search(re.escape(selector) + r"\{([^}]*)\}", text)[1]
        return dict(part.split(":") for part in found.split(";") if part.startswith("--"))

    of_light = ":root" if theme == "light" else f"html[data-theme={theme}]"
    form = tokens((room / "form" / "form.css").read_text("utf-8"), of_light)
    pages = tokens((room / "assets" / "style.css").read_text("utf-8"), ":root" if theme == "dark" else of_light.replace(
        ":root", "html[data-theme=light]"))  # fmt: skip
    assert [form[name] for name in ("--ground", "--ink", "--soft", "--warn", "--card")] == [
        pages[name] for name in ("--ground", "--ink", "--soft", "--warn", "--solid")
    ]


def test_other_methods_are_refused(app):
    assert ask(app, "/ask", method="DELETE")[0] == 405 and ask(app, "/ask", method="HEAD")[0] == 200


@pytest.mark.parametrize("path", ["/ask", "/ask?lang=fr&walk=%3Cscript%3E&campaign=%22%3E%3Cscript%3E&stop=9"])
def test_the_page_is_small_strict_and_escapes_what_it_is_asked(app, path):
    status, headers, body = ask(app, path)
    page = body.decode()
    assert status == 200 and len(body) < 16_000 and "<script>" not in page.replace("&lt;", "")
    assert "default-src 'none'" in headers["content-security-policy"] and "set-cookie" not in headers
    assert not re.search(r"""(src|href|action)=["'](?!/ask|/about/privacy|data:,)""", page)
    assert not re.search(r"\son\w+=|style=", page)


def test_the_page_speaks_the_browsers_language(app):
    assert b'<html lang="fr">' in ask(app, "/ask", headers=[(b"accept-language", b"de-CH, fr;q=0.8, en;q=0.5")])[2]
    assert b'<html lang="en">' in ask(app, "/ask", headers=[(b"accept-language", b"\xff, ;;;")])[2]


def test_the_worker_may_keep_the_form_and_changes_with_it(app):
    _, headers, body = ask(app, "/ask/worker.js")
    assert headers["service-worker-allowed"] == "/ask" and b"__VERSION__" not in body
    version = re.search(rb'noctule-ask-([0-9a-f]{10})"', body)[1]
    assert version in ask(app, "/ask")[2]


def test_a_street_is_found_however_it_is_typed_and_told_where_it_is_several(city):
    streets = street_list(city)
    assert streets.find("middle road   EAST street")[0] == "Middle Road · East Street"
    assert streets.find("market") == [label for label in streets.labels if label.startswith("Market")]
    assert streets.find("") == [] and streets.find("x") == []
    label, place = streets.find("west")  # the tram stop, by its whole name
    assert label == "West" and len(place) == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('campaigns = [{id = "a b", trigger = "panel"}]', "lower-case"),
        ('campaigns = [{id = "a", trigger = "spontaneous"}]', "none of prompted"),
        ('campaigns = [{id = "a", trigger = "panel", until = "soon"}]', "a day like"),
        ('campaigns = [{id = "a", trigger = "panel"}, {id = "a", trigger = "panel"}]', "twice"),
        ('items = ["core-99"]', "core-99"),
        ("each_per_hour = 0", "above 0"),
        ("form = 1", "bool"),
        ("door = true", "door"),
    ],
)
def test_a_wrong_setting_of_the_form_is_refused_by_name(tmp_path, line, says):
    city = make_city(tmp_path / "odd")
    file = city.path / "city.toml"
    text = re.sub(r"\[asking\]\n([^\[\n].*\n)*", "", file.read_text())
    file.write_text(f"{text}\n[asking]\n{line}\n")
    with pytest.raises(CityError, match=says):
        read_settings(file)
