"""How many packed registrations a second py_webauthn verifies: python3 verify_registrations.py CASES SECONDS

CASES is a JSON file: {"rp_id","origin","challenge","responses":[<PublicKeyCredential as JSON text>]}. No root is given, hence no trust path asked.
Prints {"name","version","per_second"}. Every verification must succeed.
"""

import importlib.metadata
import json
import sys
import time

from webauthn import base64url_to_bytes, verify_registration_response


def main(path, seconds):
    with open(path) as file:
        data = json.load(file)
    challenge = base64url_to_bytes(data["challenge"])
    responses = data["responses"]
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        verify_registration_response(
            credential=responses[done % len(responses)],
            expected_challenge=challenge,
            expected_rp_id=data["rp_id"],
            expected_origin=data["origin"],
            require_user_verification=True,
        )
        done += 1
    print(json.dumps({"name": "py_webauthn", "version": importlib.metadata.version("webauthn"), "per_second": done / elapsed}))


main(sys.argv[1], float(sys.argv[2]))
