"""How many assertions a second py_webauthn verifies: python3 verify_assertions.py CASES SECONDS

CASES is a JSON file: {"rp_id","origin","challenge","cases":[{"public_key_cose","stored_sign_count","response":<PublicKeyCredential as JSON text>}]}.
Prints {"name","version","per_second"}. Every verification must succeed.
"""

import importlib.metadata
import json
import sys
import time

from webauthn import base64url_to_bytes, verify_authentication_response


def main(path, seconds):
    with open(path) as file:
        data = json.load(file)
    challenge = base64url_to_bytes(data["challenge"])
    cases = [(c["response"], base64url_to_bytes(c["public_key_cose"]), c["stored_sign_count"]) for c in data["cases"]]
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        response, key, count = cases[done % len(cases)]
        verify_authentication_response(
            credential=response,
            expected_challenge=challenge,
            expected_rp_id=data["rp_id"],
            expected_origin=data["origin"],
            credential_public_key=key,
            credential_current_sign_count=count,
            require_user_verification=True,
        )
        done += 1
    print(json.dumps({"name": "py_webauthn", "version": importlib.metadata.version("webauthn"), "per_second": done / elapsed}))


main(sys.argv[1], float(sys.argv[2]))
