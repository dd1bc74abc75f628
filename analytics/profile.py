"""What a quantity is expected to be by hour of the week, city-wide and at each sensor, and how far off that may be."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics.covariance import Matern
from analytics.hours import HOURS, evening_of, hour_blend, hour_blends


@dataclass(frozen=True)
class Profile:
    """One quantity's learnt habits, in its transformed unit (ln lx, dB, ln persons/h).

    shape : (168,) added to the background at every place, by hour of the week
    site : (n,) u4 ascending; bias : (n, 168) what a sensor is expected to say beyond the background; bias_variance :
    (n,) of that expectation
    temporal_sd : of one sensor around its own expectation; hour_correlation : of that deviation an hour later;
    city_share : share of its variance that all sensors have in common
    covariance : of the correction to the background, in units of the background's own sd; range_interval : 90 % for
    its range in metres; simulated : whether simulated sensors taught any of it; nights : how many were learnt from
    local_variance : in the same units, of what ends within some metres of a sensor (the other pavement differs)
    night_share, night_range_m : of what a sensor differs by tonight beyond the city, the share that neighbours have
    too, fading as exp(-d / range); no share where nothing is known of it
    variance_interval : 90 % for the covariance's variance; fitted_on : how many sensors taught covariance and intervals
    drift : variance by which a level wanders a night; k : (n,) negative binomial shape of a sensor's counts, city_k
    that of one never met; special : what nights out of the usual add to the shape, (24,) by days since 1970
    spread : (24,) sd among places of their own way through the night, by hours since noon
    """

    shape: NDArray[np.float64]
    temporal_sd: float
    hour_correlation: float
    city_share: float
    covariance: Matern
    range_interval: tuple[float, float]
    site: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    bias: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, HOURS)))
    bias_variance: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    simulated: bool = False
    nights: int = 0
    local_variance: float = 0.0
    night_share: float = 0.0
    night_range_m: float = 400.0
    drift: float = 0.0
    variance_interval: tuple[float, ...] = ()
    fitted_on: int = 0
    k: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    city_k: float = np.inf
    special: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    spread: NDArray[np.float64] = field(default_factory=lambda: np.zeros(24))

    def at(self, time: np.datetime64, zone: str) -> float:
        """The shape at a moment (UTC), between the middles of its hours."""
        return float(self.shape_at(np.array([time]), zone)[0])

    def shape_at(self, times: NDArray[np.datetime64], zone: str) -> NDArray[np.float64]:
        """The shape at some moments (UTC), NaN for NaT."""
        out = np.full(times.shape, np.nan)
        known = ~np.isnat(times)
        first, second, share = hour_blends(times[known], zone)
        usual = (1 - share) * self.shape[first] + share * self.shape[second]
        if self.special:
            evening = evening_of(times[known], zone)
            for night, added in self.special.items():
                unusual = (1 - share) * added[first % 24] + share * added[second % 24]
                usual += np.where(evening == night, unusual, 0.0)
        out[known] = usual
        return out

    def spread_at(self, time: np.datetime64, zone: str) -> float:
        """The spread at a moment (UTC)."""
        first, second, share = hour_blend(time, zone)
        return float((1 - share) * self.spread[first % 24] + share * self.spread[second % 24])

    def dispersion(self, sites: NDArray[np.uint32]) -> NDArray[np.float64]:
        """Negative binomial shape of sensors' hourly counts by site number; the city's for those never met."""
        k = np.full(sites.size, self.city_k)
        if self.site.size and self.k.size:
            row = np.searchsorted(self.site, sites).clip(0, self.site.size - 1)
            k = np.where(self.site[row] == sites, self.k[row], k)
        return k

    def bias_at(
        self, sites: NDArray[np.uint32], time: np.datetime64, zone: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bias and its variance of sensors by site number; 0 and infinite for those never met."""
        bias, variance = np.zeros(sites.size), np.full(sites.size, np.inf)
        if self.site.size:
            row = np.searchsorted(self.site, sites).clip(0, self.site.size - 1)
            met = self.site[row] == sites
            first, second, share = hour_blend(time, zone)
            blended = (1 - share) * self.bias[:, first] + share * self.bias[:, second]
            bias[met], variance[met] = blended[row[met]], self.bias_variance[row[met]]
        return bias, variance

    def covariance_words(self) -> dict[str, Any]:
        """What a page says of the covariance that its correction was made with, and how it was found."""
        return {
            "nu": self.covariance.nu,
            "range_m": self.covariance.range_m,
            "range_m_90": list(self.range_interval),
            "variance": self.covariance.variance,
            "variance_90": list(self.variance_interval),
            "local_variance": self.local_variance,
            "sensors": self.fitted_on,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, as JSON takes them; floats survive the round trip exactly."""
        return {
            "shape": self.shape.tolist(),
            "temporal_sd": self.temporal_sd,
            "hour_correlation": self.hour_correlation,
            "city_share": self.city_share,
            "covariance": {
                "nu": self.covariance.nu, "range_m": self.covariance.range_m, "variance": self.covariance.variance
            },
            "range_interval": list(self.range_interval),
            "site": self.site.tolist(),
            "bias": self.bias.tolist(),
            "bias_variance": self.bias_variance.tolist(),
            "simulated": self.simulated,
            "nights": self.nights,
            "local_variance": self.local_variance,
            "night_share": self.night_share,
            "night_range_m": self.night_range_m,
            "drift": self.drift,
            "variance_interval": list(self.variance_interval),
            "fitted_on": self.fitted_on,
            "k": self.k.tolist(),
            "city_k": self.city_k if np.isfinite(self.city_k) else None,
            "spread": self.spread.tolist(),
            "special": {str(night): added.tolist() for night, added in sorted(self.special.items())},
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Profile":
        """What `to_dict` wrote."""
        plain = dict(content)
        low, high = plain.pop("range_interval")
        city_k = plain.pop("city_k", None)
        return cls(
            shape=np.array(plain.pop("shape"), np.float64),
            covariance=Matern(**plain.pop("covariance")),
            range_interval=(float(low), float(high)),
            variance_interval=tuple(float(bound) for bound in plain.pop("variance_interval", ())),
            site=np.array(plain.pop("site"), np.uint32),
            bias=np.array(plain.pop("bias"), np.float64).reshape(-1, HOURS),
            bias_variance=np.array(plain.pop("bias_variance"), np.float64),
            k=np.array(plain.pop("k", []), np.float64),
            spread=np.array(plain.pop("spread", np.zeros(24)), np.float64),
            city_k=np.inf if city_k is None else float(city_k),
            special={int(night): np.array(added, np.float64) for night, added in plain.pop("special", {}).items()},
            **plain,
        )
