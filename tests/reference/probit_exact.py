"""One answer to an ordered item in decimal arithmetic of 150 digits: the tails as exactly as anyone may ask for."""

from __future__ import annotations

from decimal import Decimal, getcontext

DIGITS = 150  # the series below loses 45 of them to cancellation at 14 sd

PI = Decimal(
    "3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170679"
    "821480865132823066470938446095505822317253594081284811174502841027"
)


def density(z: Decimal) -> Decimal:
    getcontext().prec = DIGITS
    return (-z * z / 2).exp() / (2 * PI).sqrt()


def distribution(z: Decimal) -> Decimal:
    """Phi(z) = 1/2 + phi(z) (z + z^3/3 + z^5/(3 5) + ...), which converges everywhere (Abramowitz, Stegun 26.2.11)."""
    getcontext().prec = DIGITS
    term = total = z
    n = 1
    while abs(term) > Decimal(10) ** -(DIGITS - 5) * max(abs(total), Decimal(10) ** -60):
        n += 2
        term *= z * z / n
        total += term
    return Decimal("0.5") + density(z) * total


def log_likelihood_gradient_hessian(
    x: float, beta: float, cuts: list[float], category: int
) -> tuple[Decimal, list[Decimal], list[list[Decimal]]]:
    """Of one answer with one column, in beta and then the cuts; cut minus latent mean is exact."""
    k = len(cuts) + 1
    zero, eta = Decimal(0), Decimal(x) * Decimal(beta)
    lower = Decimal(cuts[category - 2]) - eta if category > 1 else None
    upper = Decimal(cuts[category - 1]) - eta if category < k else None
    p = (distribution(upper) if upper is not None else Decimal(1)) - (distribution(lower) if lower is not None else 0)
    a, b = lower if lower is not None else zero, upper if upper is not None else zero
    ra = density(a) / p if lower is not None else zero
    rb = density(b) / p if upper is not None else zero
    aa, bb, ab = a * ra - ra * ra, -b * rb - rb * rb, ra * rb
    gradient = [zero] * k
    hessian = [[zero] * k for _ in range(k)]
    gradient[0] = Decimal(x) * (ra - rb)
    hessian[0][0] = Decimal(x) ** 2 * (aa + bb + 2 * ab)
    if lower is not None:
        i = category - 1
        gradient[i] = -ra
        hessian[i][i] = aa
        hessian[0][i] = hessian[i][0] = -Decimal(x) * (aa + ab)
    if upper is not None:
        i = category
        gradient[i] = rb
        hessian[i][i] = bb
        hessian[0][i] = hessian[i][0] = -Decimal(x) * (bb + ab)
    if lower is not None and upper is not None:
        hessian[category - 1][category] = hessian[category][category - 1] = ab
    return p.ln(), gradient, hessian
