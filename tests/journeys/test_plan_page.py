"""The Plan page as a lighting engineer uses it: lamps found, chosen and changed, and two people at one scenario."""

import pytest

from tests.journeys.town import NEEDS_CHROMIUM, screen_of, until, violations

pytestmark = NEEDS_CHROMIUM
READY = (
    "!!(window.noctule.plan && window.noctule.plan.lamps && document.querySelector('#pd-table [aria-rowindex=\"2\"]'))"
)


def desk(visit, query="", **more):
    page = visit("/plan?lang=en" + query, role="planner", waits=False, **more)
    until(page, READY)
    return page


def chosen(page):
    return page.evaluate("window.noctule.plan.count")


def on_screen(page, lamp):
    place = page.evaluate(
        "id => { const l = window.noctule.plan.lamps, i = l.row.get(id); return [l.lat[i], l.lon[i]]; }", lamp
    )
    return screen_of(page, *place)


def saved(page):
    until(page, "window.noctule.plan.saved === 'saved'")


def test_a_lamp_on_the_map_and_its_row_are_one(visit):
    page = desk(visit)
    page.click("#pd-tab-lamps")
    x, y = on_screen(page, "lamp-037")
    page.mouse.click(x, y)
    until(page, "(document.querySelector('#pd-table .active') || {}).textContent?.includes('lamp-037')")
    page.fill("#pd-search", "lamp-005")
    page.click("#pd-table [aria-rowindex='2']")
    until(page, "window.noctule.plan.lamps.lamp[window.noctule.plan.active] === 'lamp-005'")
    x, y = on_screen(page, "lamp-005")
    box = page.locator("#map").bounding_box()
    assert box["x"] < x < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"]


def test_lamps_are_chosen_by_drag_by_clicks_by_keys_and_by_words(visit):
    page = desk(visit)
    in_street = page.evaluate("window.noctule.plan.street('Market Street').length")
    page.click("[data-tool=street]")
    x, y = on_screen(page, page.evaluate("(S => S.lamps.lamp[S.street('Market Street')[2]])(window.noctule.plan)"))
    page.mouse.click(x, y)
    until(page, f"window.noctule.plan.count === {in_street}")
    page.click("text=Select none")
    page.click("summary:has-text('By street name')")
    page.fill("#pd-street", "Market Street")
    page.keyboard.press("Enter")
    until(page, f"window.noctule.plan.count === {in_street}")

    corners = [on_screen(page, "lamp-010"), on_screen(page, "lamp-037")]
    (left, right), (top, bottom) = (sorted(axis) for axis in zip(*corners, strict=True))
    left, top, right, bottom = left - 3, top - 3, right + 3, bottom + 3
    page.click("[data-tool=box]")
    page.mouse.click(left, top)
    page.mouse.click(right, bottom)
    until(page, "window.noctule.plan.count > 2 && window.noctule.plan.points === 0")
    by_box = chosen(page)
    page.click("[data-tool=lasso]")
    ring = [(left, top), (right, top), (right, bottom), (left, bottom)]
    for corner in (*ring, ring[0]):
        page.mouse.click(*corner)
        page.wait_for_timeout(120)
    until(page, "window.noctule.plan.points === 0")
    assert chosen(page) == by_box
    page.mouse.move(*ring[0])
    page.mouse.down()
    for corner in (*ring[1:], ring[0]):
        page.mouse.move(*corner, steps=5)
    page.mouse.up()
    until(page, "window.noctule.plan.points === 0")
    assert abs(chosen(page) - by_box) <= 2  # a hand is not a ruler

    page.click("text=Select none")
    page.focus("#pd-table")
    for key in ("Home", " ", "Shift+ArrowDown", "Shift+ArrowDown", "End", " "):
        page.keyboard.press(key)
    assert chosen(page) == 4


def test_changes_are_saved_undone_and_redone_and_outlive_a_reload(visit):
    page = desk(visit, "&scenario=-")
    page.fill("#pd-search", "market")
    page.click("text=Select all listed")
    page.click("#pd-tab-changes")
    page.fill("[data-hour=from]", "23:00")
    page.fill("[data-hour=to]", "05:00")
    page.click("#pd-apply")
    saved(page)
    assert "scenario=scenario-without-a-title" in page.url
    page.click("text=Replace or adjust")
    page.fill(".pd-field:has-text('Kelvin') input >> nth=0", "2700")
    page.click("#pd-apply")
    assert page.locator(".pd-changes li").count() == 2
    page.focus("#pd-tab-changes")
    page.keyboard.press("Control+z")
    assert page.locator(".pd-changes li").count() == 1
    page.keyboard.press("Control+Shift+z")
    assert page.locator(".pd-changes li").count() == 2
    saved(page)
    assert violations(page) == []
    page.reload()
    until(page, "window.noctule.plan && window.noctule.plan.changes.length === 2")
    change = page.evaluate("window.noctule.plan.changes")
    assert change[0] == {"what": "dim", "level": 0.5, "hours": ["23:00", "05:00"], "street": "Market Street"}
    assert change[1] == {"what": "replace", "cct_k": 2700, "street": "Market Street"}


def test_lamps_are_added_by_a_click_and_by_a_key_and_old_ones_found_by_their_year(visit):
    page = desk(visit, "&scenario=-")
    page.click("summary:has-text('Filters by column')")
    page.fill("[aria-label='Installed, year, to']", "2018")
    until(page, "window.noctule.plan.shown.length === 0")
    page.fill("[aria-label='Installed, year, to']", "2019")
    until(page, "window.noctule.plan.shown.length === window.noctule.plan.lamps.n")
    page.click("#pd-tab-changes")
    page.click("summary:has-text('Add lamps')")
    page.click("text=Add by clicking on the map")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.4)
    until(page, "window.noctule.plan.added().length === 1")
    page.focus("#map")
    page.keyboard.press("Enter")
    until(page, "window.noctule.plan.added().length === 2 && window.noctule.plan.changes.length === 1")
    saved(page)


def test_back_and_another_scenario_lose_nothing_that_was_not_saved_yet(visit):
    page = desk(visit, "&scenario=-")
    page.evaluate("(S => { S.choose([7], 'replace'); S.apply([{ what: 'remove' }]); })(window.noctule.plan)")
    saved(page)
    first = page.evaluate("window.noctule.plan.scenario.name")
    page.evaluate("(S => { S.choose([8], 'replace'); S.apply([{ what: 'remove' }]); })(window.noctule.plan)")
    page.select_option("#pd-scenario", "-")  # at once, before the second change was saved
    until(page, "!window.noctule.plan.scenario && window.noctule.plan.changes.length === 0")
    page.go_back()
    until(
        page, f"(window.noctule.plan.scenario || {{}}).name === '{first}' && window.noctule.plan.changes.length === 2"
    )


def test_nobody_leaves_a_scenario_that_cannot_be_saved_now(visit):
    page = desk(visit, "&scenario=-")
    page.evaluate("(S => { S.choose([7], 'replace'); S.apply([{ what: 'remove' }]); })(window.noctule.plan)")
    waited = page.evaluate("(async S => { S.flush(); const was = S.saved; await S.flush(); return [was, S.saved]; })"
                           "(window.noctule.plan)")  # fmt: skip
    assert waited == ["saving", "saved"]
    first = page.evaluate("window.noctule.plan.scenario.name")
    page.route("**/planning/scenarios/*", lambda route: route.abort())
    page.evaluate("(S => { S.choose([8], 'replace'); S.apply([{ what: 'remove' }]); })(window.noctule.plan)")
    page.select_option("#pd-scenario", "-")
    until(page, "!!document.querySelector('.pd-told')")
    assert f"scenario={first}" in page.url and page.evaluate("window.noctule.plan.changes.length") == 2
    page.unroute("**/planning/scenarios/*")
    saved(page)
    assert page.evaluate("window.noctule.plan.scenario.name") == first
    visit.said[:] = [text for text in visit.said if "ERR_FAILED" not in text]  # the browser tells of it as of an error


def test_two_who_save_one_scenario_both_keep_their_work(visit):
    mine = desk(visit, "&scenario=-")
    make = "n => { const S = window.noctule.plan; S.choose([n], 'replace'); S.apply([{ what: 'remove' }]); }"
    mine.evaluate(make, 1)
    saved(mine)
    name = mine.evaluate("window.noctule.plan.scenario.name")
    theirs = desk(visit, f"&scenario={name}")
    until(theirs, "window.noctule.plan.changes.length === 1")
    theirs.evaluate(make, 2)
    saved(theirs)
    mine.evaluate(make, 3)
    until(mine, "!!window.noctule.plan.conflict")
    assert violations(mine) == []
    mine.click("text=Go on with mine")
    until(mine, "window.noctule.plan.saved === 'saved' && !window.noctule.plan.conflict")
    mine.click("#pd-tab-whole")
    mine.click("[aria-label='Go back to version 1']")
    until(mine, "window.noctule.plan.changes.some(change => change.lamps[0] === window.noctule.plan.lamps.lamp[2])")
    visit.said[:] = [text for text in visit.said if "409" not in text]  # the browser tells of it as of an error


@pytest.mark.parametrize(
    ("theme", "width", "height"), [("dark", 1600, 900), ("light", 390, 844), ("contrast", 1024, 768)]
)
def test_every_part_of_the_desk_is_accessible(visit, theme, width, height):
    page = desk(visit, f"&theme={theme}", width=width, height=height)
    for tab in ("lamps", "changes", "whole", "compare"):
        page.click(f"#pd-tab-{tab}")
        page.wait_for_timeout(100)
        assert violations(page) == [], tab


def test_computing_is_told_from_its_beginning_to_why_it_ended(visit):
    page = desk(visit, "&scenario=-")
    page.evaluate("window.noctule.plan.choose([5], 'replace')")
    page.click("#pd-tab-changes")
    page.click("#pd-apply")
    saved(page)
    page.click("#pd-run")
    until(page, "!!document.querySelector('.pd-job progress')")
    other = desk(visit)
    until(other, "window.noctule.plan.jobs.some(job => job.state === 'running' || job.state === 'waiting')")
    # This town has no model, which the process says in a sentence that both pages show.
    until(page, "/no model|fit/.test(document.querySelector('.pd-head').textContent)", 60)
    until(other, "window.noctule.plan.jobs[0].state === 'failed'")
    assert page.locator(".pd-job").count() == 0
    assert violations(page) == []


def test_who_may_not_plan_gets_no_desk(visit):
    page = visit("/plan?lang=en", role="viewer", waits=False)
    until(page, "!!document.querySelector('main')")
    assert page.locator("#plandesk").count() == 0
