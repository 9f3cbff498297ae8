"""Does python-fido2 believe a registration, given a metadata BLOB? python3 metadata_status.py CASES

CASES: {"rp_id","origin","challenge","metadata_root":<PEM>,"cases":[{"name","blob","response":<PublicKeyCredential>}]}.
Prints [{"name","believed","why"}]. Its verifier is used as documented: MdsAttestationVerifier with its default filters.
"""

import base64
import json
import sys

from fido2.mds3 import MdsAttestationVerifier, parse_blob
from fido2.webauthn import AttestationObject, CollectedClientData


def unb64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def believed(case):
    # Not its signature: it takes JWS signatures of ES256 for DER. What it makes of the statuses is the question here.
    verifier = MdsAttestationVerifier(parse_blob(case["blob"].encode(), None))
    response = case["response"]["response"]
    client_data = CollectedClientData(unb64url(response["clientDataJSON"]))
    verifier.verify_attestation(AttestationObject(unb64url(response["attestationObject"])), client_data.hash)


with open(sys.argv[1]) as file:
    data = json.load(file)
answers = []
for case in data["cases"]:
    try:
        believed(case)
        answers.append({"name": case["name"], "believed": True, "why": ""})
    except Exception as error:  # whatever it raises, it does not believe
        answers.append({"name": case["name"], "believed": False, "why": f"{type(error).__name__}: {error}"})
print(json.dumps(answers))
