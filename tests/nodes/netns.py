# SPDX-License-Identifier: Apache-2.0
"""Sockets and commands in another network namespace, from the test's own process."""
import contextlib
import ctypes
import os
import socket
import subprocess
import threading

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def entered(path):
    """The calling thread is in the network namespace of `path` inside the block."""
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(there)
        os.close(home)


class Netns:
    """A network namespace by path. A socket keeps the namespace that it was made in."""

    def __init__(self, path, name):
        self.path, self.name = path, name

    def socket(self, family, kind, proto=0):
        with entered(self.path):
            return socket.socket(family, kind, proto)

    def argv(self, command):
        """The command that runs `command` (a list, or a line for the shell) in this namespace."""
        argv = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        return ["nsenter", f"--net={self.path}", "--"] + argv

    def exec(self, command, check=True, timeout=30, input=None):
        return run(self.argv(command), check, timeout, input, self.name)

    def popen(self, command, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen(self.argv(command), **options)

    def __repr__(self):
        return self.name


class CommandFailed(AssertionError):
    pass


def run(argv, check=True, timeout=30, input=None, where="host"):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, input=input,
                          stdin=None if input is not None else subprocess.DEVNULL, check=False)
    if check and done.returncode != 0:
        raise CommandFailed(f"{where}: {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done
