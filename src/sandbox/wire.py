# How values cross between the solution's process and the checker's: as bytes that can hold nothing but data.
#
# A frame is a length (4 bytes, little-endian) and one value. A value is a letter and what belongs to it. An object that is
# no plain data stays where it is and crosses as a number; the other side sees a `Remote`, or gets its own object back.

import os
import struct

MOST_BYTES = 16_000_000
MOST_DEPTH = 150


class Refused(Exception):
    """A value that cannot cross, or bytes that are no value."""


def read_exactly(fd, count):
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def send(fd, value, number_of):
    out = bytearray(4)
    encode(value, out, number_of, 0)
    if len(out) > MOST_BYTES:
        raise Refused("the value is larger than 16 MB")
    out[:4] = struct.pack("<I", len(out) - 4)
    view = memoryview(out)
    while view:
        view = view[os.write(fd, view):]


def receive(fd, object_of):
    size = struct.unpack("<I", read_exactly(fd, 4))[0]
    if size > MOST_BYTES:
        raise Refused("a frame of more than 16 MB")
    data = read_exactly(fd, size)
    value, end = decode(data, 0, object_of, 0)
    if end != size:
        raise Refused("bytes left over")
    return value


def put(out, tag, data):
    out += tag
    out += struct.pack("<I", len(data))
    out += data


def put_all(out, tag, values, number_of, depth):
    values = list(values)
    out += tag
    out += struct.pack("<I", len(values))
    for value in values:
        encode(value, out, number_of, depth)


def put_made(out, name, value, number_of, depth):
    put(out, b"x", name.encode())
    encode(value, out, number_of, depth)


def encode(value, out, number_of, depth):
    """Appends `value` to `out`. `number_of` numbers an object that is no plain data."""
    if depth > MOST_DEPTH:
        raise Refused("the value is nested too deep")
    if len(out) > MOST_BYTES:
        raise Refused("the value is larger than 16 MB")
    depth += 1
    kind = type(value)
    if value is None:
        out += b"N"
    elif value is True:
        out += b"T"
    elif value is False:
        out += b"F"
    elif value is Ellipsis:
        out += b"E"
    elif kind is int:
        put(out, b"i", b"%x" % value)
    elif kind is float:
        out += b"f" + struct.pack("<d", value)
    elif kind is complex:
        out += b"c" + struct.pack("<dd", value.real, value.imag)
    elif kind is str:
        put(out, b"s", value.encode("utf-8", "surrogatepass"))
    elif kind is bytes:
        put(out, b"b", value)
    elif kind is bytearray:
        put(out, b"y", value)
    elif kind is list:
        put_all(out, b"l", value, number_of, depth)
    elif kind is tuple:
        put_all(out, b"t", value, number_of, depth)
    elif kind is set:
        put_all(out, b"S", value, number_of, depth)
    elif kind is frozenset:
        put_all(out, b"Z", value, number_of, depth)
    elif kind is dict:
        out += b"d" + struct.pack("<I", len(value))
        for key, item in value.items():
            encode(key, out, number_of, depth)
            encode(item, out, number_of, depth)
    elif kind is range:
        put_made(out, "range", (value.start, value.stop, value.step), number_of, depth)
    elif kind is type({}.keys()):
        put_made(out, "dict_keys", list(value), number_of, depth)
    elif kind is type and BUILTINS.get(value.__name__) is value:
        put_made(out, "builtin", value.__name__, number_of, depth)
    elif kind is type(len) and BUILTINS.get(value.__name__) is value:
        put_made(out, "builtin", value.__name__, number_of, depth)
    elif (made := library_value(value)) is not None:
        put_made(out, *made, number_of, depth)
    elif isinstance(value, int):
        put(out, b"i", b"%x" % int.__add__(value, 0))
    elif isinstance(value, float):
        out += b"f" + struct.pack("<d", float.__add__(value, 0.0))
    elif isinstance(value, str):
        put(out, b"s", str.encode(value, "utf-8", "surrogatepass"))
    elif isinstance(value, bytes):
        put(out, b"b", bytes.__add__(value, b""))
    elif isinstance(value, list):
        put_all(out, b"l", list.__iter__(value), number_of, depth)
    elif isinstance(value, tuple):
        put_all(out, b"t", tuple.__iter__(value), number_of, depth)
    elif isinstance(value, set):
        put_all(out, b"S", set.__iter__(value), number_of, depth)
    elif isinstance(value, frozenset):
        put_all(out, b"Z", frozenset.__iter__(value), number_of, depth)
    elif isinstance(value, dict):
        encode(dict(dict.items(value)), out, number_of, depth)
    else:
        put(out, b"o", b"%x %s" % (number_of(value), kind.__name__.encode("utf-8", "replace")))


def library_value(value):
    """Values of the standard library that are data: the name of their maker and what it makes them from."""
    kind = type(value)
    home, name = kind.__module__, kind.__name__
    if home == "collections":
        if name == "deque":
            return "deque", (list(value), value.maxlen)
        if name == "Counter":
            return "Counter", dict(value)
        if name == "OrderedDict":
            return "OrderedDict", list(value.items())
    if home == "decimal" and name == "Decimal":
        return "Decimal", str(value)
    if home == "fractions" and name == "Fraction":
        return "Fraction", (value.numerator, value.denominator)
    if home == "array" and name == "array":
        return "array", (value.typecode, value.tolist())
    if home == "datetime":
        if name == "date":
            return "date", (value.year, value.month, value.day)
        if name == "timedelta":
            return "timedelta", (value.days, value.seconds, value.microseconds)
        if name == "datetime" and value.tzinfo is None:
            return "datetime", (*value.timetuple()[:6], value.microsecond)
        if name == "time" and value.tzinfo is None:
            return "time", (value.hour, value.minute, value.second, value.microsecond)
    return None


def make(name, value):
    """The other direction of `library_value` and its like."""
    if name == "range":
        return range(*value)
    if name == "dict_keys":
        return dict.fromkeys(value).keys()
    if name == "builtin" and value in BUILTINS:
        return BUILTINS[value]
    if name in ("deque", "Counter", "OrderedDict"):
        import collections

        if name == "deque":
            return collections.deque(value[0], value[1])
        return getattr(collections, name)(value)
    if name == "Decimal":
        import decimal

        return decimal.Decimal(value)
    if name == "Fraction":
        import fractions

        return fractions.Fraction(*value)
    if name == "array":
        import array

        return array.array(*value)
    if name in ("date", "timedelta", "datetime", "time"):
        import datetime

        return getattr(datetime, name)(*value)
    raise Refused("an unknown kind of value")


# What may cross by its name: the built-in types, exceptions and the functions without side effects.
BUILTINS = {
    name: thing
    for name, thing in vars(__import__("builtins")).items()
    if isinstance(thing, type)
    or name in "abs all any ascii bin callable chr divmod format hash hex isinstance issubclass iter len max min next oct ord "
    "pow repr round sorted sum".split()
}


def decode(data, at, object_of, depth):
    """The value that begins at `at`, and where it ends. `object_of` finds the object of a number."""
    if depth > MOST_DEPTH + 10:
        raise Refused("nested too deep")
    depth += 1
    tag = data[at:at + 1]
    at += 1
    if tag == b"N":
        return None, at
    if tag == b"T":
        return True, at
    if tag == b"F":
        return False, at
    if tag == b"E":
        return Ellipsis, at
    if tag == b"f":
        return struct.unpack_from("<d", data, at)[0], at + 8
    if tag == b"c":
        return complex(*struct.unpack_from("<dd", data, at)), at + 16
    count = struct.unpack_from("<I", data, at)[0]
    at += 4
    if count > len(data) - at:
        raise Refused("a count beyond the frame")
    if tag in (b"i", b"s", b"b", b"y", b"x", b"o"):
        part = data[at:at + count]
        at += count
        if tag == b"i":
            return int(part, 16), at
        if tag == b"s":
            return part.decode("utf-8", "surrogatepass"), at
        if tag == b"b":
            return part, at
        if tag == b"y":
            return bytearray(part), at
        if tag == b"x":
            value, at = decode(data, at, object_of, depth)
            return make(part.decode(), value), at
        number, _, name = part.partition(b" ")
        return object_of(int(number, 16), name.decode("utf-8", "replace")), at
    if tag == b"d":
        pairs = {}
        for _ in range(count):
            key, at = decode(data, at, object_of, depth)
            pairs[key], at = decode(data, at, object_of, depth)
        return pairs, at
    if tag not in (b"l", b"t", b"S", b"Z"):
        raise Refused("an unknown letter")
    values = []
    for _ in range(count):
        value, at = decode(data, at, object_of, depth)
        values.append(value)
    return {b"l": list, b"t": tuple, b"S": set, b"Z": frozenset}[tag](values), at
