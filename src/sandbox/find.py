# Says where this Python lives, as JSON: what a confined copy of it must be able to read and run.

import json
import os
import sys

for name in "array bisect cmath collections datetime decimal fractions functools heapq itertools json math random re string".split():
    __import__(name)
mapped = set()
try:
    for line in open("/proc/self/maps"):
        path = line.split(None, 5)[5:]
        if path and path[0].startswith("/"):
            mapped.add(path[0].strip())
except OSError:
    pass
folders = [folder for folder in sys.path if os.path.isdir(folder)]
packages = [folder for folder in folders if os.path.basename(folder) in ("site-packages", "dist-packages")]
print(json.dumps({
    "executable": os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable),
    "version": ".".join(map(str, sys.version_info[:3])),
    "recent": sys.version_info >= (3, 8),
    "library": [folder for folder in folders if folder not in packages] + [os.path.dirname(os.__file__)],
    "packages": packages,
    "mapped": sorted(mapped),
}))
