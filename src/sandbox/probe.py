# Tries what a solution must not be able to do, and prints one line for each try: a word, and `done` or why it was refused.

import os
import sys

outside, pid = sys.argv[1], int(sys.argv[2])


def write_outside():
    open(outside, "w").close()


def read_outside():
    os.listdir("/")


def send():
    import _socket

    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))


def fork():
    if os.fork() == 0:
        os._exit(0)


def write_here():
    with open("scratch", "w") as file:
        file.write("x")
    os.remove("scratch")


for name, deed in [
    ("write", write_outside),
    ("read", read_outside),
    ("network", send),
    ("process", fork),
    ("signal", lambda: os.kill(pid, 0)),
    ("scratch", write_here),
]:
    try:
        deed()
        print(name, "done")
    except Exception as error:
        print(name, type(error).__name__, str(error).replace("\n", " ")[:80])
sys.stdout.flush()
