"""Fetches a plugin from a registry by the rules that Istio and Envoy Gateway publish.

Step by step what pkg/wasm/imagefetcher.go and cache.go of Istio do, which Envoy Gateway took over
(internal/wasm): with Python's own HTTP, gzip and tar, so that nothing here is shared with what
made the image.

    wasm_image.py http://HOST:PORT NAME TAG SHA256 FILE
"""

import gzip
import hashlib
import io
import json
import posixpath
import sys
import tarfile
import urllib.request

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# What go-containerregistry says that it takes.
ACCEPTED = ",".join([
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v2+json",
    OCI_MANIFEST,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.index.v1+json",
])


class Refused(Exception):
    """What the fetcher would refuse."""


def get(url, accept=None):
    headers = {"Accept": accept} if accept else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return answer.read(), answer.headers


def fetch(registry, name, tag, pinned):
    # PrepareFetch: the manifest, and its digest.
    body, headers = get(f"{registry}/v2/{name}/manifests/{tag}", ACCEPTED)
    media_type = headers["Content-Type"]
    if media_type != OCI_MANIFEST:
        raise Refused(f"the manifest is {media_type}: these rules are for the OCI standard image")
    digest = hashlib.sha256(body).hexdigest()
    # Cache.Get: a `sha256` that was set must be the manifest's.
    if pinned and pinned != digest:
        raise Refused(f"the image has {digest}, which does not match {pinned}")

    # extractOCIStandardImage: the last layer, of this type.
    layers = json.loads(body)["layers"]
    if not layers:
        raise Refused("there are no layers")
    layer = layers[-1]
    if layer["mediaType"] != OCI_LAYER:
        raise Refused(f"the last layer is {layer['mediaType']}")
    blob, _ = get(f"{registry}/v2/{name}/blobs/{layer['digest']}")
    # go-containerregistry reads no layer of another hash, or another size.
    if f"sha256:{hashlib.sha256(blob).hexdigest()}" != layer["digest"] or len(blob) != layer["size"]:
        raise Refused("the layer has other bytes than the manifest says")

    # extractWasmPluginBinary: the first file of this name, in whatever folder.
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob))) as archive:
        for member in archive:
            if posixpath.basename(member.name) == "plugin.wasm":
                plugin = archive.extractfile(member).read()
                break
        else:
            raise Refused("there is no plugin.wasm")

    # isValidWasmBinary.
    if len(plugin) < 8 or plugin[:4] != b"\0asm":
        raise Refused("plugin.wasm is no WebAssembly")
    return plugin


def main():
    registry, name, tag, pinned, file = sys.argv[1:]
    try:
        plugin = fetch(registry, name, tag, pinned)
    except Refused as refused:
        sys.exit(f"refused: {refused}")
    with open(file, "wb") as output:
        output.write(plugin)


if __name__ == "__main__":
    main()
