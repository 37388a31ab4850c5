"""Fails when something in the repository looks like a secret and is not in .ci/secrets-allowed. Never prints what it found.

The detectors are those of detect-secrets. Tests are full of invented passwords, keys and vectors: there only the detectors of
known formats look (private keys, cloud credentials, tokens, passwords in URLs), and not those of words and of randomness.
Prose speaks of passwords all the time: there the detector of words does not look.
"""

import collections
import pathlib
import subprocess
import sys

from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings, get_plugins

ROOT = pathlib.Path(__file__).parent.parent
NOT_OURS = {"node_modules", ".git", ".data", ".cache", "coverage"}
# Its integrity hashes are random by nature; registries' credentials never stand in it.
SKIPPED = {"package-lock.json", "bench/rivals/package-lock.json"}
WORDS = {"Secret Keyword"}
RANDOMNESS = {"Base64 High Entropy String", "Hex High Entropy String"}


def files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.split("\0") if name]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [path.as_posix() for path in found if not NOT_OURS & set(path.parts)]


def unasked(name):
    if name.startswith("test/"):
        return WORDS | RANDOMNESS
    return WORDS if name.endswith(".md") else set()


def allowed():
    """`path | kind of secret | how many | why`"""
    counts = collections.Counter()
    for line in (ROOT / ".ci/secrets-allowed").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            path, kind, count, why = (part.strip() for part in line.split("|"))
            assert why, f"{path}: an exception needs a reason"
            counts[path, kind] += int(count)
    return counts


left = allowed()
problems = 0
with default_settings():
    assert len(get_plugins()) > 15, "the detectors are not there"
    for name in files():
        if name in SKIPPED or not (ROOT / name).is_file():
            continue
        for secret in scan_file(str(ROOT / name)):
            if secret.type in unasked(name):
                continue
            if left[name, secret.type] > 0:
                left[name, secret.type] -= 1
                continue
            problems += 1
            print(f"{name}:{secret.line_number}: {secret.type}")
for (name, kind), count in left.items():
    if count > 0:
        problems += 1
        print(f".ci/secrets-allowed: {name} has {count} less of: {kind}")
sys.exit(1 if problems else 0)
