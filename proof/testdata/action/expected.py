"""Canonical bytes, digest and challenge of an action, computed without any code of ours: python3 expected.py < account_create.json

Python's json with sorted keys and no white space is RFC 8785 for documents without floating-point numbers whose member names have no characters
beyond the Basic Multilingual Plane.
"""

import base64
import hashlib
import json
import sys

canonical = json.dumps(json.load(sys.stdin), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


json.dump(
    {
        "action_sha256": b64(hashlib.sha256(canonical.encode()).digest()),
        "challenge": b64(hashlib.sha256(b"sceau/action/v1\0" + canonical.encode()).digest()),
        "canonical": canonical,
    },
    sys.stdout,
    ensure_ascii=False,
    indent=2,
)
print()
