"""Laws of LoRaWAN frames: the makers' own examples, read whole or refused whole, and no count is invented."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sensors.dialects.frame_values import Refused, Value
from sensors.dialects.frames import DECODERS, decoder_problem, read_frame
from sensors.errors import DecodeError

# Milesight: README.md of each model in Milesight-IoT/SensorDecoders, with what its decoder makes of them.
WS302 = "017564 055B053F02DA016A02"  # LAF 57.5, LAeq 47.4, LAFmax 61.8
VS121_PASSED = "05CC02000100"  # people_in 2, people_out 1
VS121_ALL = "04C9030800A1 06CD05"  # people_count_all 3, people_count_max 5
VS121_REGIONS = "07D50001000000000003 08D50100000000000000"  # 1 + 3 + 1
VS121_FLOWS = "09DA0001000200000000 0ADA0000000000000000 0BDA0000000000000012 0CDA0000000000000000"
VS121_ABOUT = "FF0101 FF086600B0940976 FF090100 FF1F1F07004B"
VS132 = "FF0101 FF166614C39694870000 FF090102 FF1F84010001 03D2BE000000 04D231010000 05CC00000000"
VS133_TOTALS = "03D248000000 04D2C8000000 06D200000000 07D200000000 09D200000000 0AD200000000 0CD2B4140000 0DD28D1A0000"
VS133_PERIOD = "05CC00000000 08CC00000000 0BCC00000000 0ECC05000700"  # line 4: in 5, out 7
VS133_REGIONS = "0FE302100709"  # 2 + 16 + 7 + 9
VS133_DWELL = "10E40109101121 10E40275217533 10E40381212389 10E40476001387"


def said(text, decoder="", port=85, decoded=None):
    found = read_frame(decoder, bytes.fromhex(text), port, decoded)
    return {one.quantity: one.value for one in found if isinstance(one, Value)}


@pytest.mark.parametrize(
    ("text", "decoder", "expected"),
    [
        (WS302, "milesight-ws302", {"sound_laeq": 47.4, "sound_lamax": 61.8}),
        (VS121_PASSED, "milesight-vs121", {"people_in": 2, "people_out": 1, "people_flow": 3}),
        (VS121_ALL, "milesight-vs121", {"people_present": 3}),
        (VS121_REGIONS, "milesight-vs121", {"people_present": 5}),
        (VS132, "milesight-vs132", {"people_in": 0, "people_out": 0, "people_flow": 0}),
        (VS133_PERIOD, "milesight-vs133", {"people_in": 5, "people_out": 7, "people_flow": 12}),
        (VS133_REGIONS, "milesight-vs135", {"people_present": 34}),
    ],
)
def test_the_makers_examples_say_what_their_makers_say(text, decoder, expected):
    assert said(text, decoder) == expected
    assert said(text, "milesight") == said(text) == expected  # the channels name themselves


@pytest.mark.parametrize("text", [VS121_FLOWS, VS121_ABOUT, VS133_TOTALS, VS133_DWELL])
def test_totals_dwell_times_and_versions_are_no_reading(text):
    with pytest.raises(DecodeError, match="nothing that Noctule measures"):
        said(text, "milesight")


@pytest.mark.parametrize(
    ("weighting", "laeq", "reason"),
    [
        (0x05, 47.4, None),
        (0x01, 47.4, "time weighting I"),
        (0x09, 47.4, "time weighting S"),
        (0x04, None, "Z-weighted"),
        (0x06, None, "C-weighted"),
        (0x07, None, "?-weighted"),
    ],
)
def test_only_a_weighted_levels_and_fast_maxima_are_taken(weighting, laeq, reason):
    found = read_frame("milesight-ws302", bytes.fromhex(f"055B{weighting:02x}3F02DA016A02"), 85)
    levels = [one.value for one in found if isinstance(one, Value) and one.quantity == "sound_laeq"]
    assert levels == ([laeq] if laeq else [])
    assert [reason in one.reason for one in found if isinstance(one, Refused)] == ([True] if reason else [])


def test_lines_of_one_device_are_added_up():
    assert said("05CC01000200 08CC03000400", "milesight-vs133")["people_flow"] == 10


def test_what_was_kept_while_offline_has_its_own_time():
    (one, *_) = read_frame("milesight-vs121", bytes.fromhex("20CE 00E20068 02 05000300"), 85)
    assert (one.quantity, one.value, one.time_ms) == ("people_in", 5.0, 0x6800E200 * 1000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("04C9", "needs 4 bytes and 0 are left"),
        ("05CC0200", "needs 4 bytes and 2 are left"),
        ("05CC0200010005", "cut off"),
        ("05CC02000100 05CC02000100", "stands twice"),
        ("0367D700", "03 67 at byte 0 is not known"),
        ("05CC02000100 99", "cut off"),
        ("20CE00E20068 77 05000300", "unknown kind 77"),
    ],
)
def test_a_frame_is_read_whole_or_not_at_all(text, reason):
    for decoder in ("milesight", "milesight-vs121"):
        with pytest.raises(DecodeError, match=reason):
            said(text, decoder)


def test_a_model_does_not_send_the_channels_of_another():
    with pytest.raises(DecodeError, match="not known"):
        said(WS302, "milesight-vs133")


# Paxcounter: docs/payloadformat.md of cyberman54/ESP32-Paxcounter.


def test_plain_is_big_endian_and_packed_little():
    assert said("00070003", "paxcounter-plain", 1) == {"devices_seen": 10}
    assert said("07000300", "paxcounter-packed", 1) == {"devices_seen": 10}
    assert said("0007", "paxcounter-plain", 1) == {"devices_seen": 7}  # Bluetooth is not scanned
    assert said("00000000", "paxcounter-plain", 1) == {"devices_seen": 0}


def test_no_number_of_devices_is_a_number_of_people():
    for text in ("0007", "00070003", "0007" + "00" * 13):
        assert set(said(text, "paxcounter-plain", 1)) == {"devices_seen"}


def test_what_the_network_made_of_a_frame_tells_its_byte_order():
    decoded = {"wifi": 7, "ble": 3, "pax": 10}
    assert said("00070003", "", 1, decoded) == said("07000300", "", 1, decoded) == {"devices_seen": 10}
    assert said("01010101", "", 1, {"wifi": 257, "ble": 257}) == {"devices_seen": 514}  # alike in both
    assert said("00070003", "", 1, {"pax": 10}) == {"devices_seen": 10}
    with pytest.raises(DecodeError, match="neither byte order fits"):
        said("00070003", "", 1, {"wifi": 8, "ble": 3})
    with pytest.raises(DecodeError, match="does not say how it is read"):
        said("00070003", "", 1)


@pytest.mark.parametrize(("port", "text"), [(2, "00070003"), (0, "00070003"), (1, "000700"), (1, "00" * 18)])
def test_other_ports_and_lengths_hold_no_counts(port, text):
    for decoder in ("paxcounter-plain", "paxcounter-packed"):
        with pytest.raises(DecodeError):
            said(text, decoder, port)


# All of them


def test_the_interval_is_the_usual_unless_the_decoder_says_otherwise():
    assert read_frame("milesight", bytes.fromhex(VS121_PASSED), 85)[0].duration_s == 600
    assert read_frame("milesight/900", bytes.fromhex(VS121_PASSED), 85)[0].duration_s == 900
    assert read_frame("paxcounter-plain", bytes(4), 1)[0].duration_s == 60
    assert read_frame("paxcounter-plain/120", bytes(4), 1)[0].duration_s == 120
    (present,) = read_frame("milesight/900", bytes.fromhex(VS121_ALL), 85)
    assert present.duration_s == 0  # who is there is there at a moment


@pytest.mark.parametrize("decoder", ["morse", "milesight/", "milesight/0", "milesight/1e3", "milesight/604801", "/900"])
def test_a_decoder_that_is_none_says_which_there_are(decoder):
    assert decoder_problem(decoder)
    with pytest.raises(DecodeError):
        read_frame(decoder, bytes.fromhex(WS302), 85)


@pytest.mark.parametrize("decoder", ["", *DECODERS])
def test_an_empty_frame_is_no_reading(decoder):
    with pytest.raises(DecodeError, match="empty"):
        read_frame(decoder, b"", 85)


@given(st.sampled_from(["", *DECODERS]), st.binary(max_size=255), st.integers(0, 255), st.booleans())
@example("", b"\x05\xcc" * 100, 85, False)
def test_any_bytes_are_values_that_are_counts_or_levels_or_are_refused(decoder, data, port, decoded):
    try:
        found = read_frame(decoder, data, port, {"pax": 3} if decoded else None)
    except DecodeError as error:
        assert str(error)
        return
    assert found
    assert all(one.value >= 0 for one in found if isinstance(one, Value))
