#!/usr/bin/env python3
"""Writes number_vectors.txt: sums, differences, order and ordered bytes of random numbers.

Everything is computed with Python's decimal module and from docs/item-format.md, so that the C++ has
something independent to agree with. One line a pair, separated by spaces: a in normal form, b, a+b, a-b, sign of a-b,
ordered bytes of a in hex. A result that is refused is "overflow" or "underflow".
"""

import decimal
import pathlib
import random

decimal.getcontext().prec = 600
DIGITS_MAX, EXPONENT_MIN, EXPONENT_MAX = 38, -130, 125


def plain(number):
    text = f"{number:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if number == 0 else text


def checked(number):
    if number == 0:
        return "0"
    if number.adjusted() > EXPONENT_MAX:
        return "overflow"
    significant = "".join(map(str, number.as_tuple().digits)).strip("0")
    if len(significant) > DIGITS_MAX:
        return "overflow"
    if number.adjusted() < EXPONENT_MIN:
        return "underflow"
    return short(number)


def short(number):
    return "0" if number == 0 else f"{number.normalize():E}"


def ordered(number):
    if number == 0:
        return "80"
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    digits += "0" * (len(digits) % 2)
    pairs = [int(digits[i:i + 2]) for i in range(0, len(digits), 2)]
    encoded = [0x81, number.adjusted() + 130] + [2 * pair + 1 for pair in pairs[:-1]] + [2 * pairs[-1]]
    if number < 0:
        encoded = [255 - byte for byte in encoded]
    return bytes(encoded).hex()


def draw(rng):
    digits = "".join(rng.choice("0099123456789") for _ in range(rng.randint(1, DIGITS_MAX)))
    exponent = rng.choice([rng.randint(EXPONENT_MIN, EXPONENT_MAX), rng.randint(-5, 40), EXPONENT_MAX,
                           EXPONENT_MIN])
    number = decimal.Decimal(f"{rng.choice(['', '-'])}{digits[0]}.{digits[1:] or '0'}e{exponent}")
    return number if checked(number) == short(number) else decimal.Decimal(0)


def main():
    rng = random.Random(1)
    lines = []
    for _ in range(500):
        a = draw(rng)
        near = a + draw(rng).copy_sign(1) * rng.choice([1, -1])
        b = rng.choice([draw(rng), -a, near if checked(near) == short(near) else a])
        sign = (a > b) - (a < b)
        lines.append(f"{plain(a)} {short(b)} {checked(a + b)} {checked(a - b)} {sign} {ordered(a)}\n")
    pathlib.Path(__file__).with_name("number_vectors.txt").write_text("".join(lines))


main()
