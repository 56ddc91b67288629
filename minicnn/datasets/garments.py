"""The ten garments of `synthetic_fashion`, one function for each class, and what some share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minicnn.checks import Array
from minicnn.datasets.sketch import (
    Number,
    Sketch,
    box,
    ellipse,
    fabric,
    mix,
    overlap,
    profile,
    row,
    strip,
)

# ---------------------------------------------------------------- garments for the upper body


class Body(NamedTuple):
    """What the details of a garment need to know about the torso they are drawn on."""

    torso: Array  # distance
    neck: Array  # distance to the neckline
    cuff: Array  # distance to the last bit of the sleeves
    top: Array
    bottom: Array


def upper_body(
    s: Sketch,
    cloth: Array,
    base: Array,
    *,
    long_sleeves: Array,
    no_sleeves: Number,
    chest: Array,
    waist: Array,
    hem: Array,
    bottom: Array,
    neck: tuple[Array, Array],
) -> Body:
    """Sleeves, torso and neckline.

    `chest`, `waist` and `hem` are half widths, `neck` is the half width and depth of the neckline.
    """
    top = s.about(-0.88, 0.06)
    slope = s.between(0.12, 0.4)
    shoulder = chest * s.between(0.92, 1.08)

    # sleeves: from the shoulder downwards and outwards, long ones hanging closer to the body
    r0 = mix(long_sleeves, s.between(0.15, 0.21), s.between(0.16, 0.26))
    r1 = r0 * mix(long_sleeves, s.between(0.55, 0.85), s.between(0.75, 1.0))
    angle = mix(long_sleeves, s.between(0.05, 0.3), s.between(0.3, 0.95))
    length = mix(long_sleeves, s.between(1.15, 1.6), s.between(0.3, 0.62))
    x0, y0 = shoulder - r0 * 0.75, top + slope * shoulder + r0 * 0.45
    x1, y1 = x0 + length * np.sin(angle), y0 + length * np.cos(angle)
    sleeve = strip(s.side, s.v, (x0, y0), (x1, y1), r0, r1)
    s.paint(sleeve, cloth * s.between(0.78, 1.06), 1.0 - no_sleeves)
    cuff = strip(
        s.side, s.v, (x1 - 0.1 * np.sin(angle), y1 - 0.1 * np.cos(angle)), (x1, y1), r1, r1
    )

    # torso over them
    low = (top + bottom) / 2 + 0.15
    width = profile(s.v, [(top, shoulder), (top + 0.5, chest), (low, waist), (bottom, hem)])
    torso = overlap(s.side - width, top + slope * s.side - s.v)
    torso = overlap(torso, s.v - bottom + s.between(-0.12, 0.15) * np.square(s.side))
    s.paint(torso, cloth)
    s.seam(torso, s.between(0.1, 0.6))

    # neckline: round or a V, the inside of the back in the shade or cut away
    neck_w, neck_d = neck
    across, down = s.side / neck_w, (s.v - top) / neck_d
    round_neck = np.square(across) + np.square(np.maximum(down, 0.0))
    opening = (mix(s.chance(0.3), across + down, round_neck) - 1.0) * np.minimum(neck_w, neck_d)
    s.paint(overlap(opening, torso), s.chance(0.5) * s.between(0.2, 0.6) * base)
    return Body(torso, opening, cuff, top, bottom)


def t_shirt(s: Sketch) -> None:
    """Short sleeves or none, an open neckline, often a print on the chest."""
    cloth, base = fabric(s, stripes=0.15, plaid=0.0, prints=0.15)
    no_sleeves = s.chance(0.15)
    chest = s.between(0.42, 0.58)
    body = upper_body(
        s,
        cloth,
        base,
        long_sleeves=s.chance(0.08) * (1 - no_sleeves),
        no_sleeves=no_sleeves,
        chest=chest,
        waist=chest * s.between(0.85, 1.05),
        hem=chest * s.between(0.92, 1.15),
        bottom=s.between(0.6, 0.98),
        neck=(s.between(0.18, 0.34), s.between(0.1, 0.42)),
    )
    s.seam(body.neck - 0.04, s.between(-0.2, 0.4) * s.chance(0.6))
    middle = (0.0, body.top + s.between(0.45, 0.8))
    wide, high = s.between(0.1, 0.3), s.between(0.06, 0.28)
    emblem = mix(
        s.chance(0.5), ellipse(s.u, s.v, middle, wide, high), box(s.u, s.v, middle, wide, high)
    )
    emblem = mix(s.chance(0.4), overlap(emblem, -emblem - 0.1), emblem)  # an outline, or filled
    lettering = 0.5 + 0.5 * np.sin(s.v * s.between(14, 30)) * s.chance(0.5)
    s.paint(emblem, s.between(0.05, 1.0) * lettering, s.chance(0.3) * s.between(0.4, 1.0))


def pullover(s: Sketch) -> None:
    """Long sleeves, a small neckline, ribbed hem, cuffs and collar, sometimes a hood."""
    cloth, base = fabric(s, stripes=0.2, plaid=0.02, prints=0.1)
    knit = s.chance(0.5) * s.between(0.03, 0.12)
    cloth = cloth * (1.0 + knit * np.sin(s.v * s.between(28, 40)) * np.sin(s.u * s.between(20, 40)))
    chest = s.between(0.4, 0.56)
    hood = s.chance(0.12)
    head = ellipse(s.u, s.v, (0.0, -0.8), s.between(0.26, 0.34), s.between(0.18, 0.28))
    s.paint(head, cloth * 0.85, hood)
    body = upper_body(
        s,
        cloth,
        base,
        long_sleeves=s.chance(0.94),
        no_sleeves=0.0,
        chest=chest,
        waist=chest * s.between(0.9, 1.1),
        hem=chest * s.between(0.85, 1.12),
        bottom=s.between(0.6, 0.97),
        neck=(s.between(0.14, 0.32), s.between(0.06, 0.24)),
    )
    ribs = s.chance(0.93) * s.between(0.15, 0.4) * np.sign(s.about(0.2, 1.0))
    waistband = overlap(body.torso, body.bottom - s.between(0.1, 0.18) - s.v)
    rib_lines = 1.0 - ribs * (0.7 + 0.5 * np.sin(s.u * s.between(30, 42)))
    s.paint(waistband, cloth * rib_lines)
    s.paint(body.cuff, cloth * (1.0 - ribs))
    s.seam(body.neck - 0.05, ribs, width=2.0)
    middle = (0.0, body.top + s.between(0.5, 0.8))
    emblem = ellipse(s.u, s.v, middle, s.between(0.1, 0.3), s.between(0.06, 0.25))
    s.paint(emblem, s.between(0.05, 1.0), s.chance(0.15) * s.between(0.4, 1.0))


def coat(s: Sketch) -> None:
    """Long sleeves, a front line from neck to hem, lapels, pockets, sometimes a belt or a zip."""
    cloth, base = fabric(s, stripes=0.05, plaid=0.06, prints=0.12)
    chest = s.between(0.42, 0.58)
    waist = chest * s.between(0.86, 1.06)
    head = ellipse(s.u, s.v, (0.0, -0.8), s.between(0.26, 0.34), s.between(0.18, 0.28))
    s.paint(head, cloth * 0.85, s.chance(0.15))
    body = upper_body(
        s,
        cloth,
        base,
        long_sleeves=s.chance(0.95),
        no_sleeves=s.chance(0.03),
        chest=chest,
        waist=waist,
        hem=waist * s.between(0.95, 1.25),
        bottom=s.between(0.65, 1.0),
        neck=(s.between(0.12, 0.28), s.between(0.08, 0.4)),
    )
    # the two fronts: apart (what is behind is dark), a dark edge, or a light zip
    middle = s.u - s.about(0.0, 0.08)
    gap = s.chance(0.2) * s.between(0.0, 0.1) * np.maximum(s.v - body.top, 0.0)
    front = overlap(np.abs(middle) - gap, body.torso)
    s.paint(front, s.between(0.0, 0.4) * base, s.chance(0.5))
    shut = overlap(np.abs(np.abs(middle) - gap), body.torso)
    s.seam(shut, mix(s.chance(0.25), s.between(-0.4, -0.1), s.between(0.2, 0.7)), width=1.3)

    lapel_end = (s.between(0.0, 0.05), body.top + s.between(0.45, 0.85))
    lapel = strip(
        s.side, s.v, (s.between(0.14, 0.25), body.top), lapel_end, s.between(0.07, 0.14), 0.02
    )
    lapels = s.chance(0.55)
    s.paint(lapel, cloth * s.about(0.95, 0.2), lapels)
    s.seam(lapel, s.between(0.25, 0.6) * lapels)
    pocket = box(
        s.side, s.v, (s.between(0.22, 0.3), s.between(0.2, 0.45)), s.between(0.09, 0.15), 0.02
    )
    s.paint(pocket, cloth * s.between(0.4, 0.8), s.chance(0.45))
    belt = overlap(np.abs(s.v - s.between(0.0, 0.25)) - s.between(0.04, 0.07), body.torso)
    s.paint(belt, cloth * s.between(0.5, 0.85), s.chance(0.15))


def shirt(s: Sketch) -> None:
    """Collar, a row of buttons on a placket, long or short sleeves, often checked."""
    cloth, base = fabric(s, stripes=0.15, plaid=0.2, prints=0.12)
    no_sleeves = s.chance(0.05)
    chest = s.between(0.41, 0.57)
    body = upper_body(
        s,
        cloth,
        base,
        long_sleeves=s.chance(0.6) * (1 - no_sleeves),
        no_sleeves=no_sleeves,
        chest=chest,
        waist=chest * s.between(0.85, 1.05),
        hem=chest * s.between(0.9, 1.15),
        bottom=s.between(0.65, 0.98),
        neck=(s.between(0.13, 0.28), s.between(0.08, 0.3)),
    )
    middle = s.u - s.about(0.0, 0.04)
    placket = s.chance(0.88)
    s.seam(overlap(np.abs(middle - 0.06), body.torso), placket * s.between(0.15, 0.45))
    every = s.between(0.2, 0.32)
    button = overlap(np.abs(middle), np.abs(row(s.v - s.about(0.0, 0.15), every))) - 0.035
    button = overlap(button, body.torso, -body.neck)
    s.paint(button, mix(s.chance(0.6), 0.05, 1.0), placket * s.between(0.6, 1.0))

    collar = strip(
        s.side,
        s.v,
        (s.between(0.15, 0.24), body.top - 0.02),
        (s.between(0.03, 0.12), body.top + s.between(0.16, 0.32)),
        s.between(0.05, 0.1),
        0.04,
    )
    collars = s.chance(0.85)
    s.paint(collar, cloth * s.about(1.0, 0.2), collars)
    s.seam(collar, s.between(0.25, 0.6) * collars)
    pocket = box(s.u, s.v, (s.about(0.24, 0.05), body.top + s.about(0.6, 0.05)), 0.1, 0.1)
    s.seam(pocket, s.chance(0.25) * s.between(0.1, 0.4))


def dress(s: Sketch) -> None:
    """Narrow at the waist, a skirt that may flare, straps or sleeves, a seam at the waist."""
    cloth, base = fabric(s, stripes=0.12, plaid=0.03, prints=0.25)
    no_sleeves = s.chance(0.5)
    chest = s.between(0.26, 0.42)
    waist = chest * s.between(0.7, 1.0)
    bottom = s.between(0.8, 1.02)
    body = upper_body(
        s,
        cloth,
        base,
        long_sleeves=s.chance(0.4) * (1 - no_sleeves),
        no_sleeves=no_sleeves,
        chest=chest,
        waist=waist,
        hem=waist * s.between(1.0, 1.9),
        bottom=bottom,
        neck=(s.between(0.12, 0.24), s.between(0.1, 0.35)),
    )
    line = s.between(-0.25, 0.15)
    s.seam(overlap(np.abs(s.v - line), body.torso), s.chance(0.6) * s.between(0.15, 0.6), width=1.5)
    skirt = overlap(body.torso, line - s.v)
    pleats = np.sin(s.u / (0.6 + s.v - line).clip(0.3) * s.between(12, 22))
    shade = mix(s.chance(0.25), s.between(0.5, 1.2), 1.0)
    s.paint(skirt, cloth * shade * (1.0 + s.chance(0.4) * s.between(0.05, 0.2) * pleats))


# ---------------------------------------------------------------- trousers and bags


def trouser(s: Sketch) -> None:
    """Two legs from a waistband, apart at the feet, with a crease and a fly."""
    cloth, _ = fabric(s, stripes=0.04, plaid=0.03, prints=0.1)
    top, bottom = s.about(-0.9, 0.06), s.between(0.7, 1.0)
    hip = s.between(0.24, 0.4)
    foot = hip * s.between(0.25, 0.5)
    apart = foot + s.between(0.02, 0.2)
    crotch = top + s.between(0.35, 0.6)
    outside = profile(
        s.v, [(top, hip * s.between(0.8, 1.0)), (crotch, hip), (bottom, apart + foot)]
    )
    inside = profile(s.v, [(crotch - 0.08, -0.1), (crotch, 0.01), (bottom, apart - foot)])
    legs = overlap(
        s.side - outside,
        inside - s.side,
        np.abs(s.v - (top + bottom) / 2) - (bottom - top) / 2,
    )
    s.paint(legs, cloth)
    s.seam(legs, s.between(0.0, 0.4))
    crease = overlap(np.abs(s.side - (outside + inside) / 2), legs)
    s.seam(crease, s.chance(0.6) * s.between(-0.2, 0.3))
    s.seam(overlap(np.abs(s.v - top - s.between(0.1, 0.16)), legs), s.between(0.1, 0.5))
    s.seam(overlap(np.abs(s.u), s.v - crotch), s.chance(0.7) * s.between(0.1, 0.5))


def bag(s: Sketch) -> None:
    """A box, trapezium or half moon with a handle, a flap, a clasp."""
    cloth, base = fabric(s, stripes=0.08, plaid=0.06, prints=0.15)
    wide, high = s.between(0.5, 0.88), s.between(0.35, 0.75)
    bottom = s.between(0.55, 0.9)
    top = bottom - 2 * high * s.between(0.8, 1.0)
    middle = (top + bottom) / 2
    leather = base * s.between(0.4, 1.1)

    grip = (s.between(0.22, 0.5), s.between(0.15, 0.6))
    arc = ellipse(s.u, s.v, (0.0, top + 0.05), *grip)
    handle = overlap(np.abs(arc) - s.between(0.03, 0.07), s.v - top - 0.1)
    s.paint(handle, leather, s.chance(0.65))
    strap = strip(s.side, s.v, (wide * 0.95, top), (wide * s.between(0.9, 1.1), bottom), 0.04, 0.04)
    s.paint(strap, leather, s.chance(0.2))

    taper = s.between(-0.3, 0.25)
    corner = s.between(0.05, 0.4)
    width = wide * (1.0 + taper * (s.v - middle))
    x, y = s.side - width + corner, np.abs(s.v - middle) - (bottom - top) / 2 + corner
    body = np.sqrt(np.square(np.maximum(x, 0.0)) + np.square(np.maximum(y, 0.0)))
    body += np.minimum(np.maximum(x, y), 0.0) - corner
    s.paint(body, cloth)
    s.seam(body, s.between(0.0, 0.5))
    flap_end = top + high * s.between(0.5, 1.4) - s.between(0.0, 0.4) * np.square(s.u)
    flap = overlap(body, s.v - flap_end)
    flaps = s.chance(0.55)
    s.paint(flap, cloth * s.about(0.95, 0.15), flaps)
    s.seam(flap, flaps * s.between(0.2, 0.6))
    clasp = ellipse(s.u, s.v, (0.0, flap_end), s.between(0.05, 0.1), s.between(0.04, 0.08))
    s.paint(clasp, s.between(0.0, 1.0), s.chance(0.5))


# ---------------------------------------------------------------- shoes, the toe to the left


def heeled_sole(s: Sketch, ground: Array, heel: Array) -> Array:
    """Height of the underside of a shoe: on the ground at the ball, `heel` above it at the back."""
    raised: Array = heel * profile(s.u, [(-0.35, 0.0), (0.35, 0.85), (0.8, 1.0)])
    return ground - raised


def sandal(s: Sketch) -> None:
    """A sole, flat or on a heel or a wedge, and straps with air between them."""
    cloth, base = fabric(s, stripes=0.03, plaid=0.02, prints=0.2)
    heel = mix(s.chance(0.5), s.between(0.3, 0.9), s.between(0.0, 0.12))
    ground = 0.35 + 0.55 * heel + s.about(0.0, 0.1)
    back = s.between(0.7, 0.92)
    thick = s.between(0.08, 0.18)
    under = heeled_sole(s, ground, heel)
    length = np.abs(s.u - (back - 0.92) / 2) - (back + 0.92) / 2
    shade = cloth * s.between(0.7, 1.1)
    r = s.between(0.03, 0.08)

    # over the toes an arch, filled or two thin straps
    toes = (s.between(-0.65, -0.35), ground - thick)
    high = s.between(0.2, 0.42)
    arch = ellipse(s.u, s.v, toes, s.between(0.15, 0.35), high)
    arch = mix(s.chance(0.4), arch, np.abs(arch) - r)
    s.paint(overlap(arch, s.v - under, length), shade)

    # behind the heel, around the ankle, and from there down to the toes or to the sole
    ankle = ground - heel - s.between(0.3, 0.7)
    heel_end, front = (back - 0.1, ankle), (s.between(0.1, 0.35), ankle + s.between(-0.05, 0.2))
    instep = (toes[0] + 0.1, toes[1] - high * 0.7)
    arch_of_foot = (s.between(-0.2, 0.2), ground - heel * 0.5 - thick)
    down = s.chance(0.6)
    fastened = s.chance(0.85)
    s.paint(strip(s.u, s.v, (back - 0.04, ground - heel), heel_end, r * 1.5, r), shade, fastened)
    s.paint(strip(s.u, s.v, heel_end, front, r, r), shade, fastened)
    low_end = (mix(down, instep[0], arch_of_foot[0]), mix(down, instep[1], arch_of_foot[1]))
    s.paint(strip(s.u, s.v, front, low_end, r, r * s.between(1, 2)), shade, fastened)
    s.paint(strip(s.u, s.v, instep, arch_of_foot, r, r), shade, s.chance(0.3))
    side = profile(s.u, [(toes[0], high), (front[0], ground - front[1]), (back, ground - ankle)])
    closed = overlap(ground - side - s.v, s.v - under, length)
    s.paint(overlap(closed, toes[0] - s.u), shade * s.between(0.6, 1.0), s.chance(0.1))

    # sole and heel
    tone = base * s.between(0.5, 1.2)
    raised = (heel > 0.2).astype(np.float32)
    wedged = s.chance(0.3) * raised
    wedge = overlap(under - s.v, s.v - ground, length, -0.3 - s.u)
    s.paint(wedge, tone, wedged)
    tip = (back - s.between(0.05, 0.2), ground)
    post = strip(
        s.u,
        s.v,
        (back - 0.12, ground - heel - 0.02),
        tip,
        s.between(0.07, 0.14),
        s.between(0.03, 0.11),
    )
    s.paint(post, tone, raised - wedged)
    s.paint(overlap(np.abs(s.v - under + thick / 2) - thick / 2, length), tone)


def sneaker(s: Sketch) -> None:
    """A low shoe on a thick flat sole, laces on the slope of the instep, stripes at the side."""
    cloth, base = fabric(s, stripes=0.03, plaid=0.03, prints=0.12)
    ankle = mix(s.chance(0.2), s.between(0.75, 1.15), s.between(0.5, 0.75))
    ground = ankle * 0.5 + s.about(0.08, 0.1)
    thick = s.between(0.07, 0.2)
    toe = s.between(0.22, 0.38)
    tongue = s.between(0.0, 0.3)
    height = profile(
        s.u,
        [
            (-0.95, toe * 0.4),
            (-0.85, toe * 0.8),
            (-0.5, toe * 1.1),
            (tongue, ankle * s.between(0.85, 1.0)),
            (tongue + 0.12, ankle),
            (0.65, ankle * s.between(0.75, 0.95)),
            (0.85, ankle * s.between(0.9, 1.1)),
            (0.95, ankle * 0.7),
        ],
    )
    slope = ground - height
    shoe = overlap(slope - s.v, s.v - ground, np.abs(s.u) - s.between(0.86, 0.95))
    s.paint(shoe, cloth)
    s.seam(shoe, s.between(0.0, 0.3))

    # light or dark laces just below the slope
    instep = box(s.u, s.v - slope, ((tongue - 0.45) / 2, 0.1), (tongue + 0.45) / 2, 0.1)
    lace = np.abs(row(s.u - s.v * 0.4, s.between(0.14, 0.22))) - 0.035
    s.paint(overlap(lace, instep), mix(s.chance(0.6), 1.0, 0.1), s.chance(0.8) * 0.9)

    # stripes at the side, toe cap, the mouth of the shoe
    flank = (s.between(0.05, 0.25), ground - 0.3)
    flank_box = box(s.u, s.v, flank, s.between(0.12, 0.28), s.between(0.1, 0.16))
    stripe = np.abs(row(s.u + s.v * s.between(0.3, 0.9), s.between(0.16, 0.26))) - 0.04
    stripe = overlap(stripe, flank_box, shoe)
    s.paint(stripe, s.between(0.0, 1.0), s.chance(0.4) * s.between(0.5, 1.0))
    cap = ellipse(s.u, s.v, (-0.9, ground), 0.45, 0.45)
    s.seam(overlap(cap, shoe), s.chance(0.5) * s.between(0.1, 0.5))
    mouth = ellipse(s.u, s.v, (s.between(0.5, 0.65), ground - ankle), s.between(0.15, 0.25), 0.07)
    s.paint(overlap(mouth, shoe), base * s.between(0.1, 0.5), s.chance(0.7))

    sole = overlap(shoe, ground - thick - s.v)
    s.paint(sole, mix(s.chance(0.6), s.between(0.75, 1.0), s.between(0.1, 0.5)))
    s.seam(sole, s.between(0.1, 0.5))


def ankle_boot(s: Sketch) -> None:
    """A shaft over a closed foot, flat or with a heel, a zip, laces or an elastic gore."""
    cloth, base = fabric(s, stripes=0.02, plaid=0.02, prints=0.12)
    heel = mix(s.chance(0.45), s.between(0.2, 0.65), s.between(0.03, 0.12))
    shaft = mix(s.chance(0.6), s.between(0.95, 1.25), s.between(0.75, 0.95))
    ground = (heel + shaft) / 2 + s.about(0.03, 0.1)
    top = ground - heel - shaft
    under = heeled_sole(s, ground, heel)
    back, front = s.between(0.62, 0.9), s.between(-0.15, 0.2)
    toe = s.between(0.25, 0.42)
    height = profile(
        s.u,
        [
            (-0.95, toe * 0.4),
            (-0.85, toe * 0.8),
            (-0.45, toe * 1.2),
            (front - 0.1, heel * 0.5 + toe * 1.7),
            (front, (heel + shaft) * s.between(0.75, 1.0)),
            (front + 0.06, heel + shaft),
        ],
    )
    length = np.abs(s.u - (back - 0.92) / 2) - (back + 0.92) / 2
    shank = s.u - back + s.between(-0.1, 0.15) * (s.v - top)
    boot = overlap(ground - height - s.v, s.v - under, length, shank)
    s.paint(boot, cloth)
    s.seam(boot, s.between(0.0, 0.3))

    # elastic gore, zip, laces, a collar of fur or knit
    gore_end = (front + 0.25, ground - heel - 0.25)
    gore = strip(s.u, s.v, (front + 0.35, top), gore_end, 0.13, 0.06)
    s.paint(overlap(gore, boot), base * s.between(0.2, 0.8), s.chance(0.25))
    zipper = overlap(np.abs(s.u - front - s.between(0.25, 0.45)), s.v - ground + heel + 0.15)
    s.seam(overlap(zipper, boot), s.chance(0.4) * s.between(-0.4, 0.5))
    lace = np.abs(row(s.v + 0.3 * s.u, s.between(0.14, 0.22))) - 0.035
    lace = overlap(lace, np.abs(s.u - front - 0.05) - 0.12, boot)
    s.paint(lace, mix(s.chance(0.6), 1.0, 0.1), s.chance(0.3) * s.between(0.4, 1.0))
    collar = overlap(boot, s.v - top - s.between(0.08, 0.16), front - s.u)
    s.paint(collar, base * s.between(0.4, 1.2), s.chance(0.35))

    tone = base * s.between(0.3, 1.1)
    tip = (back - s.between(0.1, 0.22), ground)
    post = strip(
        s.u,
        s.v,
        (back - 0.18, ground - heel - 0.03),
        tip,
        s.between(0.12, 0.2),
        s.between(0.05, 0.18),
    )
    s.paint(post, tone)
    s.paint(overlap(np.abs(s.v - under) - s.between(0.03, 0.07), length), tone)


GARMENTS: tuple[Callable[[Sketch], None], ...] = (
    t_shirt,
    trouser,
    pullover,
    dress,
    coat,
    sandal,
    shirt,
    sneaker,
    bag,
    ankle_boot,
)
