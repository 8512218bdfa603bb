#!/usr/bin/env python3
"""Write layers and documents of images as seeds for layer_fuzz into the folder given."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

DIGEST = "sha256:" + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def archive(entries, kind):
    """A tar archive of (name, type, link or content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, entry_type, more in entries:
            info = tarfile.TarInfo(name)
            info.type = entry_type
            content = b""
            if entry_type in (tarfile.LNKTYPE, tarfile.SYMTYPE):
                info.linkname = more
            else:
                content = more.encode()
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue().rstrip(b"\0") + bytes(1024)


def sparse():
    """The three kinds of pax and GNU's own, each of one piece between two holes."""
    for records in ({"GNU.sparse.map": "4,3", "GNU.sparse.size": "9", "GNU.sparse.name": "s"},
                    {"GNU.sparse.offset": "4", "GNU.sparse.numbytes": "3", "GNU.sparse.size": "9"},
                    {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s",
                     "GNU.sparse.realsize": "9"}):
        content = b"1\n4\n3\n".ljust(512, b"\0") + b"abc" if "GNU.sparse.major" in records else b"abc"
        info = tarfile.TarInfo("s")
        info.size = len(content)
        info.pax_headers = records
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(info, io.BytesIO(content))
        yield out.getvalue().rstrip(b"\0") + bytes(1024)


def saved():
    """As Docker saves an image, with the same layer again as a link; and an index.json alone."""
    layer = archive([("f", tarfile.REGTYPE, "x")], tarfile.USTAR_FORMAT)
    digest = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = json.dumps({"architecture": "amd64", "os": "linux",
                         "rootfs": {"type": "layers", "diff_ids": [digest, digest]}})
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["a/b:v1"],
                            "Layers": ["1/layer.tar", "2/layer.tar"]}])
    yield archive([("1/layer.tar", tarfile.REGTYPE, layer.decode()),
                   ("2/layer.tar", tarfile.SYMTYPE, "../1/layer.tar"),
                   ("c.json", tarfile.REGTYPE, config), ("manifest.json", tarfile.REGTYPE, manifest)],
                  tarfile.USTAR_FORMAT)
    index = json.dumps({"schemaVersion": 2, "manifests": [
        {"digest": DIGEST, "size": 0, "mediaType": "application/vnd.oci.image.manifest.v1+json"}]})
    yield archive([("blobs/" + DIGEST.replace(":", "/"), tarfile.REGTYPE, ""),
                   ("index.json", tarfile.REGTYPE, index)], tarfile.USTAR_FORMAT)


def seeds():
    for content in saved():
        yield bytes([4, 0, 0]) + content
    lower = [("/", tarfile.DIRTYPE, ""), ("/app/s", tarfile.REGTYPE, "x"),
             ("app/h", tarfile.LNKTYPE, "/app/s"), ("l", tarfile.SYMTYPE, "/etc"),
             ("l/f", tarfile.REGTYPE, "y"), ("p", tarfile.FIFOTYPE, ""), ("d", tarfile.CHRTYPE, ""),
             ("n" * 120 + "/" + "m" * 150, tarfile.REGTYPE, "long")]
    upper = [("app/.wh.s", tarfile.REGTYPE, ""), ("app/.wh..wh..opq", tarfile.REGTYPE, ""),
             ("app/new", tarfile.REGTYPE, "z"), (".wh.l", tarfile.REGTYPE, "")]
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        short = lower[:-1] if kind == tarfile.USTAR_FORMAT else lower
        first, second = archive(short, kind), archive(upper, kind)
        yield bytes([0]) + len(first).to_bytes(2, "big") + first + second
        yield bytes([1, 0, 0]) + gzip.compress(first, mtime=0)
        yield bytes([2, 0, 0]) + first
        block = (len(second) << 3 | 1).to_bytes(3, "little")
        yield bytes([1, 0, 0]) + b"\x28\xb5\x2f\xfd\0\x58" + block + second
    for content in sparse():
        yield bytes([1, 0, 0]) + content
    part = {"digest": DIGEST, "size": 0, "mediaType": "a/b", "urls": ["c"], "data": "e30=",
            "platform": {"architecture": "a", "os": "b", "os.version": "c"}, "other": [1.5]}
    for document in ({"schemaVersion": 2, "config": part, "layers": [part], "subject": part},
                     {"schemaVersion": 2, "manifests": [part], "annotations": {"k": "v"}},
                     {"architecture": "a", "os": "b", "config": {"Healthcheck": {}, "Env": ["A=b"]},
                      "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
                      "history": [{"created_by": "x", "empty_layer": True}]}):
        yield bytes([3, 0, 0]) + json.dumps(document).encode()


def main():
    folder = Path(sys.argv[1])
    for number, seed in enumerate(seeds()):
        (folder / f"layer-{number:03}").write_bytes(seed)


main()
