#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a container image from local files: no registry, no build daemon. `ctr images import` reads the result.

    mkimage.py OUT.tar NAME [--entrypoint WORD...] [--file SOURCE=TARGET]... [--link TARGET=PATH]... [--dir PATH]...

One layer, in the archive form of `docker save`. The same input gives the same bytes.
"""
import argparse
import hashlib
import io
import json
import os
import tarfile


def add_parents(tar, path, made):
    parts = path.strip("/").split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        add_dir(tar, "/".join(parts[:depth]), made)


def add_dir(tar, path, made):
    path = path.strip("/")
    if path in made:
        return
    made.add(path)
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if path == "tmp" else 0o755
    tar.addfile(entry)


def add_bytes(tar, path, data, mode=0o755):
    entry = tarfile.TarInfo(path.strip("/"))
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def layer_of(files, links, dirs):
    buffer, made = io.BytesIO(), set()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in dirs:
            add_parents(tar, path, made)
            add_dir(tar, path, made)
        for source, target in files:
            add_parents(tar, target, made)
            with open(source, "rb") as data:
                add_bytes(tar, target, data.read(), os.stat(source).st_mode & 0o777)
        for target, path in links:
            add_parents(tar, path, made)
            entry = tarfile.TarInfo(path.strip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write_image(out, name, entrypoint, files=(), links=(), dirs=("tmp", "proc", "sys", "dev", "etc")):
    layer = layer_of(files, links, dirs)
    config = json.dumps({
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer)]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }).encode()
    index = [{"Config": digest(config) + ".json", "RepoTags": [name], "Layers": [digest(layer) + ".tar"]}]
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        add_bytes(tar, digest(config) + ".json", config, 0o644)
        add_bytes(tar, digest(layer) + ".tar", layer, 0o644)
        add_bytes(tar, "manifest.json", json.dumps(index).encode(), 0o644)


def pair(text):
    left, separator, right = text.partition("=")
    if not separator or not left or not right:
        raise argparse.ArgumentTypeError(f"{text!r} is not LEFT=RIGHT")
    return left, right


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("name")
    parser.add_argument("--entrypoint", nargs="*", default=["/bin/sh"])
    parser.add_argument("--file", type=pair, action="append", default=[])
    parser.add_argument("--link", type=pair, action="append", default=[])
    parser.add_argument("--dir", action="append", default=["tmp", "proc", "sys", "dev", "etc"])
    args = parser.parse_args()
    write_image(args.out, args.name, args.entrypoint, args.file, args.link, args.dir)


if __name__ == "__main__":
    main()
