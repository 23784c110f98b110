# Runs the tests and says how they went. The solution's names are known here as `Remote`s: a call crosses to the solution's
# process and its value comes back as data. Only this process can say that the tests have passed, after the last one.


class Lost(BaseException):
    """The solution's process is gone, or sends what is no data."""


class SolutionError(Exception):
    """An exception of the solution that is no built-in one."""


class Remote:
    """An object that lives in the solution's process."""

    __slots__ = ("_number", "_kind")

    def __init__(self, number, kind):
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_kind", kind)

    # An object of the solution's own equals only itself: whether it would say so itself is not asked.
    def __eq__(self, other):
        return type(other) is Remote and other._number == self._number

    def __hash__(self):
        return hash(self._number)

    def __call__(self, *args, **kwargs):
        return ask("call", self, list(args), kwargs)

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return ask("attribute", self, name)

    def __setattr__(self, name, value):
        ask("set attribute", self, name, value)

    def __getitem__(self, key):
        return ask("item", self, key)

    def __setitem__(self, key, value):
        ask("set item", self, key, value)

    def __iter__(self):
        return ask("iter", self)

    def __next__(self):
        return ask("next", self)

    def __len__(self):
        return ask("len", self)

    def __contains__(self, item):
        return any(item is one or item == one for one in self)

    def __bool__(self):
        return ask("bool", self)

    def __int__(self):
        return ask("int", self)

    def __float__(self):
        return ask("float", self)

    def __str__(self):
        return ask("str", self)

    def __repr__(self):
        return ask("repr", self)


import builtins
import sys

verdict_fd = os.dup(2)
lost = None
last = None


def lose(why):
    global lost
    lost = lost or why
    raise Lost(why)


def number_of(value):
    if type(value) is Remote:
        return value._number
    raise Refused("the tests pass a %s, which cannot cross to the solution" % type(value).__name__)


def ask(*question):
    """Sends a question to the solution's process and waits for the answer."""
    global last
    if lost:
        raise Lost(lost)
    try:
        send(1, question, number_of)
    except OSError:
        lose("ended")
    try:
        reply = receive(0, Remote)
    except (EOFError, OSError):
        lose("ended")
    except (MemoryError, Lost):
        raise
    except Exception:
        lose("no data")
    if type(reply) is tuple and len(reply) == 2 and reply[0] == "ok":
        if question[0] == "call":
            last = reply
        return reply[1]
    if type(reply) is not tuple or len(reply) != 3 or reply[0] != "raise" or type(reply[1]) is not str or type(reply[2]) is not str:
        lose("no data")
    known = getattr(builtins, reply[1], None)
    if isinstance(known, type) and issubclass(known, Exception) and not issubclass(
        known, (UnicodeError, AssertionError, ImportError)
    ):
        raise known(reply[2])
    raise SolutionError("%s: %s" % (reply[1], reply[2]))


def names_of(code):
    found = set(code.co_names)
    for constant in code.co_consts:
        if type(constant) is type(code):
            found |= names_of(constant)
    return found


def short(text):
    text = " ".join(text.split())
    return text if len(text) <= 200 else text[:200] + "..."


def describe(error):
    try:
        text = str(error)
    except Exception:
        text = ""
    return short(type(error).__name__ + ": " + text if text else type(error).__name__)


def gone(place):
    return ("ended" if lost == "ended" else "garbage"), place


def check(job):
    solution, before, tests, own = job
    try:
        before = [compile(text, "<set-up>", "exec") for text in before]
        codes = [compile(text, "<test>", "exec") for text in tests]
    except (SyntaxError, ValueError) as error:
        return "broken", describe(error)
    try:
        has = set(ask("run", solution))
    except Lost:
        return gone("while the solution was run")
    except SyntaxError as error:
        return "unreadable", describe(error)
    except Exception as error:
        return "failed", "the solution itself fails: " + describe(error)
    namespace = {"__name__": "tests", "__builtins__": builtins}
    wanted = set()
    for code in before + codes:
        wanted |= names_of(code)
    for name in sorted(wanted):
        if name not in own:
            if hasattr(builtins, name):
                continue
            if name in STANDARD and not name.startswith("_") and name not in REFUSED:
                namespace[name] = __import__(name)
                continue
        if name in has and not name.startswith("__"):
            try:
                namespace[name] = ask("get", name)
            except Lost:
                return gone("before the tests")
            except Exception:
                pass
    place = "before the tests"
    try:
        for code in before:
            place = "in the tests' set-up"
            exec(code, namespace)
        for code, text in zip(codes, tests):
            place = short(text) if len(text) < 400 else "a test"
            exec(code, namespace)
            if lost:
                return gone(place)
    except Lost:
        return gone(place)
    except ImportError as error:
        return "broken", describe(error)
    except AssertionError as error:
        note = describe(error)
        note = "" if note == "AssertionError" else " (%s)" % note
        if last is not None and type(last[1]) is not Remote:
            try:
                note += "; the last call gave " + short(repr(last[1]))
            except Exception:
                pass
        return "failed", place + " does not hold" + note
    except BaseException as error:
        return gone(place) if lost else ("failed", place + " fails: " + describe(error))
    return gone(place) if lost else ("passed", str(len(codes)))


# Python before 3.10 does not list its modules.
STANDARD = getattr(sys, "stdlib_module_names", {"collections", "datetime", "itertools", "math", "random", "re", "string", "sys"})

# Modules that a test has no use for and whose names a solution's function may well have.
REFUSED = {"antigravity", "this", "idlelib", "turtle", "turtledemo", "tkinter", "test"}


def main():
    parts = []
    while part := os.read(verdict_fd, 1 << 20):
        parts.append(part)
    job, _ = decode(b"".join(parts), 0, Remote, 0)
    try:
        kind, why = check(job)
    except MemoryError:
        kind, why = "failed", "the checker ran out of memory"
    os.write(verdict_fd, (kind + "\n" + why + "\n.\n").encode("utf-8", "replace"))


sys.path[:] = [folder for folder in sys.path if folder not in ("", ".")]
main()
