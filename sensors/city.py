"""A city is a folder: its settings in `city.toml`, its places beside, its shelves under `store/`.

Every setting stands once, here, with its unit, default and reason. Unknown keys are refused by name, so that a typing
error never silently means the default.
"""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from sensors.errors import CityError, gather

if TYPE_CHECKING:
    import geopandas

FORMAT = 1
DIMMING_CURVES = ("linear", "dali-log")
ASKED_BY = ("prompted", "random-time", "intercept", "panel")  # of CODES["trigger"]; the rest comes by itself
# Scheme, host and port and nothing else: what a content security policy takes, without room for another directive.
_ORIGIN = re.compile(r"https?://[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?", re.ASCII)
_MOST_ANCESTORS = 20
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,60}", re.ASCII)
ROLES = ("public", "partner", "viewer", "planner", "researcher", "admin")  # who sees what: dashboard/roles.py
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # a topic level: lower-case ASCII, digits, hyphen
_LONGEST_SAID = 400  # characters of a line that a city says of itself
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


class GridSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The map's cells, in metres of the city's projection; edges are whole multiples of the cell."""

    west: float
    south: float
    east: float
    north: float
    cell_m: float = 10.0  # fine enough for one side of a street, coarse enough for a million cells a city


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the city's devices speak."""

    url: str = "mqtt://127.0.0.1:1883"
    root: str = "noctule"  # first topic level
    user: str = ""  # the name of the account; its password is NOCTULE_BROKER_PASSWORD or in secrets.toml
    # Files, absolute or beside city.toml; only with mqtts://.
    authority: str = ""  # whose certificates are believed; the machine's own authorities when empty
    certificate: str = ""  # our client certificate, where the broker asks for one
    key: str = ""  # its private key, readable by its owner alone


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one identity may send; what is more is refused, counted, and starves nobody."""

    # A gateway that drains what it stored while offline sends a few rows a second for each of its devices (sensing.md
    # E1: 5/s); the burst is a night of quarter-hours from fifty of them.
    messages_per_second: float = 20.0
    burst: int = 2_000


class PrivacySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be sensed of people at all."""

    # Counting radio devices is refused until somebody has named on which legal basis it is done (sensing.md F1).
    devices_seen_basis: str = ""


class DialectRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Topics on which devices speak otherwise than we do, and who they are: the topic says it, never the payload."""

    topic: str  # an MQTT filter, + and # as usual
    dialect: str = ""  # a name of sensors.dialects; recognised by content when empty
    device: str = ""  # the one device behind the topic
    device_level: int = 0  # or the topic level that names it, counted from 1
    devices: dict[str, str] = msgspec.field(default_factory=dict)  # their name for it = our name
    decoder: str = ""  # of LoRaWAN frames: how the bytes of frm_payload are read
    quantity: str = ""  # of bare values, where neither topic nor payload names it
    datastreams: dict[str, str] = msgspec.field(default_factory=dict)  # SensorThings id = device/quantity


class NightSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The mapped window of a night, local time, and its steps."""

    from_: str = msgspec.field(default="20:00", name="from")
    to: str = "06:00"
    step_minutes: int = 15
    close_after_minutes: float = 5.0  # a step closes this long (city time) after its end


class ClassWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights of CEN/TR 13201-1:2014 for P classes, P = 6 - their sum; a national example, to be set by the city."""

    speed_low: int = 1  # below 40 km/h
    speed_walking: int = 0
    use_busy: int = 1
    use_normal: int = 0
    use_quiet: int = -1
    composition_all: int = 2  # pedestrians, cyclists and motor traffic
    composition_pedestrians_motor: int = 1
    composition_pedestrians_cyclists: int = 1
    composition_pedestrians: int = 0
    composition_cyclists: int = 0
    parked: int = 1
    ambient_high: int = 1  # shop windows, adverts, sports grounds, stations
    ambient_moderate: int = 0
    ambient_low: int = -1


class LightingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the lamps do where no controller reports."""

    # [local time, level 0..1] from that time on. A common Dutch profile (Elexon D60, sensing.md A8) dims at 20:00 and
    # 22:00; a city centre at night keeps full light until 23:00 here.
    schedule: tuple[tuple[str, float], ...] = (("16:00", 1.0), ("23:00", 0.7), ("05:00", 1.0))
    maintenance_factor: float = 0.85  # LLMF x LSF x LMF of LED streets, 0.80-0.90 (sensing.md A2)
    # What a reported dimming of 0..1 means: a share of full light, or an arc power level of DALI (n / 254), whose light
    # is logarithmic (IEC 62386-102). A lamp's own column `dimming_curve` goes before.
    dimming_curve: str = "linear"
    # Whether buildings shade lamps. Footprints and lamps must stand within a metre or so of where they are for that,
    # which not every city can say.
    occlusion: bool = False
    # Which side of a luminaire's photometric file faces the street, by the file's name or stem: 'street-c0' or
    # 'street-c90'. No file says it; without an entry C = 0 in LM-63 and C = 90 in EULUMDAT (sensing.md A3).
    orientation: dict[str, str] = msgspec.field(default_factory=dict)
    # How many people an hour through a line across a street are busy, and how few quiet, for its required class by
    # hour (docs/lighting.md). CEN/TR 13201-1 gives no numbers; these are ours.
    busy_from: float = 200.0
    quiet_below: float = 40.0
    # Whether a P class that somebody stated also gives way in quieter hours; assumed ones always do.
    adaptive: bool = False
    weights: ClassWeights = msgspec.field(default_factory=ClassWeights)


class ReleaseSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may leave: perception.md 6 and DESIGN 3."""

    minimum_people: int = 10
    maximum_share: float = 0.30  # of the weight in a cell that one person may carry
    cell_m: float = 50.0
    public_cell_m: float = 200.0
    public_delay_hours: float = 24.0
    minimum_evidence: float = 0.3


class AskingCampaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A campaign that the answer form takes answers for, by its address `/ask?campaign=ID`."""

    id: str
    trigger: str  # how people come to answer: prompted, random-time, intercept or panel
    until: str = ""  # the last day of it; afterwards its answers are spontaneous


class AskingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The answer form at `/ask`."""

    form: bool = False  # a city asks when it has decided to
    items: tuple[str, ...] = ()  # instruments that are asked after the core item, each optional
    campaigns: tuple[AskingCampaign, ...] = ()
    # A person answers a few times a night; a phone network may show a whole group as one address.
    each_per_hour: float = 60.0
    each_burst: int = 30
    all_per_minute: float = 120.0  # of everybody together; what is more waits on the phones


class PurposeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the city uses Noctule for and who answers for it; shown on About and in every print."""

    uses: tuple[str, ...] = ()
    responsible: str = ""
    excluded: tuple[str, ...] = ("patrol deployment", "enforcement", "licensing sanctions")
    retention: str = ""
    review: str = ""


class AboutSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only the city can say on its About pages; where it says nothing they say that."""

    contact: str = ""  # who answers questions and objections: a service, with its e-mail, telephone or post
    legal_basis: str = ""  # on which answers are processed, e.g. 'Article 6(1)(e) GDPR, public task'
    protection_officer: str = ""  # how to reach the data protection officer
    supervisor: str = ""  # the authority that takes complaints about data protection
    enforcement: str = ""  # who is turned to when the accessibility of these pages is not put right


class EmbedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who else may show the map inside a page of theirs."""

    ancestors: tuple[str, ...] = ()  # origins, like https://www.example.org; our own always may


class SignInSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people sign in: an OpenID provider, a proxy that says who they are, or local accounts (docs/sign-in.md)."""

    public_url: str = ""  # where browsers reach us, like https://night.example.org; needed behind a proxy
    hosts: tuple[str, ...] = ()  # other names under which we may be asked, e.g. inside the network
    idle_hours: float = 12.0  # a night is ten hours long, and a wall that shows it is never idle
    longest_hours: float = 72.0  # a weekend; then everybody signs in anew
    issuer: str = ""  # of the OpenID provider, exactly as it calls itself
    client_id: str = ""  # our name there; the secret is NOCTULE_OIDC_SECRET or in secrets.toml
    label: str = ""  # what the provider is called on the button
    scopes: tuple[str, ...] = ("openid", "profile")
    name_claim: str = "preferred_username"
    roles_claim: str = "groups"  # with points for what lies deeper: realm_access.roles
    # What the provider or the proxy says of somebody = their role here; "*" is everybody whom they let in.
    roles: dict[str, str] = msgspec.field(default_factory=dict)
    proxy_header: str = ""  # in which a proxy names who asks
    proxy_role_header: str = ""  # and their groups, with commas between
    proxy_addresses: tuple[str, ...] = ()  # addresses or networks of our own proxies; nobody else is believed


class CitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything in `city.toml`."""

    format: int
    id: str
    name: str
    zone: str
    crs: str
    grid: GridSettings
    simulated: bool = False  # only such a city accepts simulated input, and says so on every picture
    broker: BrokerSettings = msgspec.field(default_factory=BrokerSettings)
    ingest: IngestSettings = msgspec.field(default_factory=IngestSettings)
    privacy: PrivacySettings = msgspec.field(default_factory=PrivacySettings)
    dialects: tuple[DialectRule, ...] = ()
    night: NightSettings = msgspec.field(default_factory=NightSettings)
    lighting: LightingSettings = msgspec.field(default_factory=LightingSettings)
    release: ReleaseSettings = msgspec.field(default_factory=ReleaseSettings)
    purpose: PurposeSettings = msgspec.field(default_factory=PurposeSettings)
    asking: AskingSettings = msgspec.field(default_factory=AskingSettings)
    about: AboutSettings = msgspec.field(default_factory=AboutSettings)
    embed: EmbedSettings = msgspec.field(default_factory=EmbedSettings)
    sign_in: SignInSettings = msgspec.field(default_factory=SignInSettings)
    attribution: tuple[str, ...] = ()
    licence: str = ""
    # Shares of the people out at night by group, for the population view; empty means the mix of those who answered.
    group_shares: dict[str, float] = msgspec.field(default_factory=dict)
    resident_shares: dict[str, float] = msgspec.field(default_factory=dict)


class City:
    """An opened city folder."""

    def __init__(self, path: Path, settings: CitySettings) -> None:
        self.path = path
        self.settings = settings

    @classmethod
    def open(cls, path: Path | str) -> City:
        """Read and check `city.toml`; CityError says everything that is wrong with it."""
        folder = Path(path)
        file = folder / "city.toml"
        if not folder.is_dir():
            raise CityError(f"there is no city folder '{folder}'; make one with 'noctule city build {folder}'")
        if not file.is_file():
            raise CityError(f"'{folder}' is not a city folder: it has no city.toml; make one with 'noctule city build'")
        return cls(folder, read_settings(file))

    @property
    def id(self) -> str:
        """The city's name in topics."""
        return self.settings.id

    @property
    def name(self) -> str:
        """The city's name for people."""
        return self.settings.name

    @property
    def simulated(self) -> bool:
        """Whether the city is declared simulated."""
        return self.settings.simulated

    @property
    def crs(self) -> str:
        """The projected coordinate system, in metres, of everything in the folder."""
        return self.settings.crs

    @cached_property
    def zone(self) -> ZoneInfo:
        """The city's time zone."""
        return ZoneInfo(self.settings.zone)

    def shelf(self, *parts: str) -> Path:
        """A path under `store/`."""
        return self.path.joinpath("store", *parts)

    def require_places(self) -> None:
        """CityError names every table of places that is missing, so that a long work is refused before it begins."""
        from sensors.places import missing_places

        if missing := missing_places(self.path):
            raise CityError(
                f"{self.path}/places lacks {', '.join(missing)}; build the city again with 'noctule city build' or "
                "restore what is missing"
            )

    def places(self, name: str) -> geopandas.GeoDataFrame:
        """One table of places, checked; read once."""
        from sensors.places import load_place

        if name not in self._places:
            self._places[name] = load_place(self.path, name, self.crs)
        return self._places[name]

    @cached_property
    def _places(self) -> dict[str, Any]:
        return {}

    def centre_lonlat(self) -> tuple[float, float]:
        """Longitude and latitude (WGS 84) of the middle of the grid, degrees."""
        from pyproj import Transformer

        grid = self.settings.grid
        to_lonlat = Transformer.from_crs(self.crs, "EPSG:4326", always_xy=True)
        longitude, latitude = to_lonlat.transform((grid.west + grid.east) / 2, (grid.south + grid.north) / 2)
        return float(longitude), float(latitude)


def read_settings(file: Path) -> CitySettings:
    """Settings from a `city.toml`; CityError gathers all that is wrong."""
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CityError(f"{file} is not TOML: {error}") from error
    try:
        settings = msgspec.convert(content, CitySettings)
    except msgspec.ValidationError as error:
        raise CityError(f"{file}: {error}; the settings and their defaults are in docs/city.md") from error
    problems = _problems(settings)
    if problems:
        raise CityError(gather(str(file), problems))
    return settings


def write_settings(path: Path, settings: CitySettings) -> None:
    """Write `city.toml` into the city folder `path`, beside and then renamed."""
    path.mkdir(parents=True, exist_ok=True)
    beside = path / "city.toml.new"
    beside.write_text(_toml(msgspec.to_builtins(settings)), "utf-8")
    beside.replace(path / "city.toml")


def _problems(settings: CitySettings) -> list[str]:
    problems = []
    if settings.format != FORMAT:
        problems.append(f"format {settings.format} is not the format {FORMAT} of this version; try 'noctule migrate'")
    if not _ID.fullmatch(settings.id):
        problems.append(f"id '{settings.id}' must be lower-case letters, digits and single hyphens, as in a topic")
    try:
        ZoneInfo(settings.zone)
    except (ZoneInfoNotFoundError, ValueError):
        problems.append(f"zone '{settings.zone}' is no time zone; write one like Europe/Helsinki")
    problems += _crs_problems(settings.crs)
    problems += _grid_problems(settings.grid)
    night = settings.night
    problems += [
        f"night.{key} '{value}' must be a local time like 20:00"
        for key, value in (("from", night.from_), ("to", night.to))
        if not _CLOCK.fullmatch(value)
    ]
    if night.step_minutes <= 0 or 60 % night.step_minutes:
        problems.append(f"night.step_minutes {night.step_minutes} must divide an hour; 15 is usual")
    if night.close_after_minutes < 0:
        problems.append(f"night.close_after_minutes {night.close_after_minutes:g} must not be negative")
    problems += [
        f"lighting.schedule [{clock}, {level}] must be a local time and a level between 0 and 1"
        for clock, level in settings.lighting.schedule
        if not _CLOCK.fullmatch(clock) or not 0 <= level <= 1
    ]
    if settings.lighting.dimming_curve not in DIMMING_CURVES:
        problems.append(
            f"lighting.dimming_curve '{settings.lighting.dimming_curve}' is not known; "
            f"expected one of {', '.join(DIMMING_CURVES)}"
        )
    if settings.lighting.orientation:
        from sensors.luminaire import ORIENTATIONS  # what few cities have should cost the others no import

        problems += [
            f"lighting.orientation of '{name}' is '{side}'; expected {' or '.join(ORIENTATIONS)}"
            for name, side in settings.lighting.orientation.items()
            if side not in ORIENTATIONS
        ]
    if not 0 <= settings.lighting.quiet_below <= settings.lighting.busy_from:
        problems.append(
            f"lighting.quiet_below {settings.lighting.quiet_below:g} must be at least 0 and not above "
            f"lighting.busy_from {settings.lighting.busy_from:g}, both in persons an hour"
        )
    if settings.release.minimum_people < 10:
        problems.append(f"release.minimum_people {settings.release.minimum_people} must be at least 10 (docs/map.md)")
    if settings.release.public_cell_m < 200:
        problems.append(f"release.public_cell_m {settings.release.public_cell_m:g} must be at least 200")
    problems += _asking_problems(settings.asking)
    problems += _sign_in_problems(settings.sign_in)
    problems += [
        f"about.{name} must be one line of at most {_LONGEST_SAID} characters"
        for name in AboutSettings.__struct_fields__
        if len(said := getattr(settings.about, name)) > _LONGEST_SAID or not said.isprintable()
    ]
    problems += [
        f"embed.ancestors '{origin[:80]}' must be an origin like https://www.example.org"
        for origin in settings.embed.ancestors
        if not _ORIGIN.fullmatch(origin)
    ]
    if len(settings.embed.ancestors) > _MOST_ANCESTORS:
        problems.append(f"embed.ancestors lists {len(settings.embed.ancestors)}; at most {_MOST_ANCESTORS} can be")
    if settings.dialects:
        from sensors.dialects.rules import rule_problems  # what few cities have should cost the others no import

        for number, rule in enumerate(settings.dialects, 1):
            problems += [f"dialects[{number}] {problem}" for problem in rule_problems(rule)]
    return problems


def _asking_problems(asking: AskingSettings) -> list[str]:
    problems = []
    for campaign in asking.campaigns:
        if not _ID.fullmatch(campaign.id) or len(campaign.id) > 40:
            problems.append(f"asking.campaigns id '{campaign.id[:50]}' must be lower-case letters, digits and hyphens")
        if campaign.trigger not in ASKED_BY:
            problems.append(f"asking.campaigns trigger '{campaign.trigger[:50]}' is none of {', '.join(ASKED_BY)}")
        if campaign.until and not _is_day(campaign.until):
            problems.append(f"asking.campaigns until '{campaign.until[:50]}' must be a day like 2026-12-31")
    ids = [campaign.id for campaign in asking.campaigns]
    problems += [f"asking.campaigns has '{name}' twice" for name in sorted({i for i in ids if ids.count(i) > 1})]
    if asking.items:
        from sensors.instrument import instrument_names  # what few cities ask should cost the others no look

        known = instrument_names()
        problems += [
            f"asking.items '{name}' is none of {', '.join(known)}" for name in asking.items if name not in known
        ]
    if not (0 < asking.each_per_hour < 1e6 and 0 < asking.each_burst < 1e6 and 0 < asking.all_per_minute < 1e6):
        problems.append("asking.each_per_hour, each_burst and all_per_minute must be above 0 and below a million")
    return problems


def review_passed(settings: CitySettings, today: date) -> bool:
    """Whether the purpose should have been reviewed before today; a review that is told in words never says so."""
    return _is_day(settings.purpose.review) and date.fromisoformat(settings.purpose.review) < today


def _sign_in_problems(sign_in: SignInSettings) -> list[str]:
    problems = []
    if sign_in.public_url and not _ORIGIN.fullmatch(sign_in.public_url):
        problems.append(f"sign_in.public_url '{sign_in.public_url[:80]}' must be like https://night.example.org")
    problems += [
        f"sign_in.hosts '{host[:80]}' must be a name like night.example.org, without a port"
        for host in sign_in.hosts
        if not _HOST.fullmatch(host)
    ]
    if not 0 < sign_in.idle_hours <= sign_in.longest_hours <= 24 * 90:
        problems.append("sign_in.idle_hours must be above 0 and at most longest_hours, and that at most 2160")
    problems += [
        f"sign_in.roles '{claim[:60]}' is '{role[:40]}'; expected one of {', '.join(ROLES)}"
        for claim, role in sign_in.roles.items()
        if role not in ROLES
    ]
    if sign_in.issuer:
        if not _is_issuer(sign_in.issuer):
            problems.append(
                f"sign_in.issuer '{sign_in.issuer[:80]}' must begin with https:// and have neither query nor fragment"
            )
        if not (sign_in.client_id and sign_in.public_url and sign_in.roles):
            problems.append("sign_in.issuer needs sign_in.client_id, sign_in.public_url and sign_in.roles beside it")
        if "openid" not in sign_in.scopes:
            problems.append("sign_in.scopes must hold openid")
    if sign_in.proxy_header or sign_in.proxy_role_header:
        problems += [
            f"sign_in.{key} '{name[:60]}' must be the name of a header, like X-Forwarded-User"
            for key, name in (("proxy_header", sign_in.proxy_header), ("proxy_role_header", sign_in.proxy_role_header))
            if not _HEADER.fullmatch(name) and (name or key == "proxy_header")
        ]
        if not (sign_in.proxy_addresses and sign_in.roles):
            problems.append("sign_in.proxy_header needs sign_in.proxy_addresses and sign_in.roles beside it")
    problems += [
        f"sign_in.proxy_addresses '{address[:60]}' must be an address like 10.0.0.5 or a network like 10.0.0.0/24"
        for address in sign_in.proxy_addresses
        if not _is_network(address)
    ]
    return problems


def _is_network(text: str) -> bool:
    from ipaddress import ip_network

    try:
        return ip_network(text).prefixlen > 0  # the whole world is nobody's proxy
    except ValueError:
        return False


def _is_issuer(text: str) -> bool:
    """OpenID Connect Discovery 3: https, neither query nor fragment; plain http only on this machine, for trying."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return False
    here = parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1")
    return bool(host) and (parts.scheme == "https" or here) and not (parts.query or parts.fragment or "@" in text)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _crs_problems(crs: str) -> list[str]:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        system = CRS.from_user_input(crs)
    except CRSError:
        return [f"crs '{crs}' is not known; write one like EPSG:3067"]
    if not system.is_projected or any(axis.unit_name != "metre" for axis in system.axis_info[:2]):
        return [f"crs '{crs}' is not projected in metres; choose the national grid or a UTM zone"]
    return []


def _grid_problems(grid: GridSettings) -> list[str]:
    if grid.cell_m <= 0:
        return [f"grid.cell_m {grid.cell_m:g} must be positive"]
    edges = {"west": grid.west, "south": grid.south, "east": grid.east, "north": grid.north}
    problems = [
        f"grid.{name} {edge:g} must be a whole multiple of cell_m {grid.cell_m:g}"
        for name, edge in edges.items()
        if abs(edge / grid.cell_m - round(edge / grid.cell_m)) > 1e-9
    ]
    if grid.west >= grid.east or grid.south >= grid.north:
        problems.append("grid must have west < east and south < north")
    elif (grid.east - grid.west) * (grid.north - grid.south) / grid.cell_m**2 > 25e6:
        problems.append("grid has more than 25 million cells; choose larger cells or a smaller area")
    return problems


def _toml(content: dict[str, Any], prefix: str = "") -> str:
    """Tables, and arrays of tables, of plain values, which is all that settings hold."""
    lines = [f"{_toml_key(key)} = {_toml_value(value)}" for key, value in content.items() if not _is_tables(value)]
    for key, value in content.items():
        name = f"{prefix}{_toml_key(key)}"
        if isinstance(value, dict):
            lines += ["", f"[{name}]", _toml(value, f"{name}.").rstrip("\n")]
        elif _is_tables(value):
            for table in value:
                lines += ["", f"[[{name}]]", _toml(table, f"{name}.").rstrip("\n")]
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value)
    )


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else msgspec.json.encode(key).decode()


def _toml_value(value: Any) -> str:
    # JSON strings, numbers, booleans and arrays of them are TOML as well.
    return msgspec.json.encode(value).decode()
