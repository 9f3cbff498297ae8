#!/usr/bin/env python3
"""A whole life of a FIDO2 key, played by Yubico's python-fido2: an independent client and verifier.

Checks (each by name in the JSON that is printed): getInfo; PIN set; makeCredential with PIN protocols 1 and 2, packed
attestation verified up to the given root, AAGUID as expected; getAssertion with and without touch, signatures verified;
a wrong PIN is refused and costs one try; a touch that is cancelled; a key that is pulled and put back (its credential
is still there).

Exit: 0 everything held, 1 something did not (named on standard error), 3 no key or no reader.
Needs the packages of requirements.txt (fido2, pyscard). Touch tests need vkey's control socket.
"""

import argparse
import json
import os
import socket
import sys
import threading
import time

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from fido2.attestation import AttestationVerifier
from fido2.cose import ES256, EdDSA
from fido2.ctap import STATUS, CtapError
from fido2.ctap2 import Ctap2
from fido2.ctap2.pin import ClientPin, PinProtocolV1, PinProtocolV2
from fido2.hid import CtapHidDevice
from fido2.webauthn import AttestationObject

RP = {"id": "sceau.example", "name": "Sceau"}


class Roots(AttestationVerifier):
    """Trusts one root, found by its subject."""

    def __init__(self, pem):
        super().__init__()
        self.root = load_pem_x509_certificate(pem)

    def ca_lookup(self, result, auth_data):
        last = result.trust_path[-1]
        from cryptography.x509 import load_der_x509_certificate

        if load_der_x509_certificate(last).issuer == self.root.subject:
            return self.root.public_bytes(Encoding.DER)
        return None


class Control:
    """vkey's control socket: words in, one line of JSON out."""

    def __init__(self, path):
        self.path = path

    def __call__(self, words):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.path)
            link.sendall((words + "\n").encode())
            return json.loads(link.makefile().readline())


def find(transport, node=None, timeout=10.0):
    """The first key on this transport (or the one at this node), within the time."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if transport == "pcsc":
            from fido2.pcsc import CtapPcscDevice

            device = next(CtapPcscDevice.list_devices(), None)
        elif node:
            device = at_node(node)
        else:
            device = next(CtapHidDevice.list_devices(), None)
        if device is not None:
            return device
        time.sleep(0.05)
    print("no key found", file=sys.stderr)
    sys.exit(3)


def at_node(node):
    """The key at this hidraw node, or None."""
    from fido2.hid import linux

    try:
        descriptor = linux.get_descriptor(node)
        return CtapHidDevice(descriptor, linux.open_connection(descriptor))
    except OSError:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=["pcsc", "hid"], default="pcsc")
    parser.add_argument("--node", help="hidraw node of the key, where enumeration would not find it")
    parser.add_argument("--root", help="PEM of the manufacturer's root; without it only the statement is verified")
    parser.add_argument("--aaguid", help="AAGUID that the model must have")
    parser.add_argument("--pin-file", help="file with the PIN (default: a test PIN)")
    parser.add_argument("--control", help="vkey's control socket: also try touches and replugging")
    options = parser.parse_args()
    pin = open(options.pin_file).read().strip() if options.pin_file else "sceau-1234"
    control = Control(options.control) if options.control else None
    held = {}

    device = find(options.transport, options.node)
    ctap = Ctap2(device)
    info = ctap.get_info()
    held["versions"] = info.versions
    held["aaguid"] = str(info.aaguid)
    if options.aaguid:
        assert str(info.aaguid) == options.aaguid, f"AAGUID is {info.aaguid}"
    assert set(info.pin_uv_protocols) >= {1, 2}, f"PIN protocols {info.pin_uv_protocols}"

    if not info.options["clientPin"]:
        ClientPin(ctap, PinProtocolV2()).set_pin(pin)
        assert ctap.get_info().options["clientPin"]
        held["pin_set"] = True

    credentials = []
    for protocol, algorithm in [(PinProtocolV1(), ES256), (PinProtocolV2(), ES256), (PinProtocolV2(), EdDSA)]:
        name = f"protocol_{protocol.VERSION}_{algorithm.__name__}"
        client_pin = ClientPin(ctap, protocol)
        digest = os.urandom(32)
        token = client_pin.get_pin_token(pin, ClientPin.PERMISSION.MAKE_CREDENTIAL, RP["id"])
        begun = time.monotonic()
        made = ctap.make_credential(
            digest,
            RP,
            {"id": os.urandom(16), "name": "alice", "displayName": "Alice Martin"},
            [{"type": "public-key", "alg": algorithm.ALGORITHM}],
            options={"rk": protocol.VERSION == 2},
            pin_uv_param=protocol.authenticate(token, digest),
            pin_uv_protocol=protocol.VERSION,
        )
        took = time.monotonic() - begun
        assert made.auth_data.is_user_verified() and made.auth_data.is_user_present()
        made_object = AttestationObject.create(made.fmt, made.auth_data, made.att_stmt)
        if options.root:
            Roots(open(options.root, "rb").read()).verify_attestation(made_object, digest)
        else:
            from fido2.attestation import Attestation

            Attestation.for_type(made.fmt)().verify(made.att_stmt, made.auth_data, digest)
        credential = made.auth_data.credential_data
        credentials.append(credential)

        digest = os.urandom(32)
        token = client_pin.get_pin_token(pin, ClientPin.PERMISSION.GET_ASSERTION, RP["id"])
        begun = time.monotonic()
        assertion = ctap.get_assertion(
            RP["id"],
            digest,
            [{"type": "public-key", "id": credential.credential_id}],
            pin_uv_param=protocol.authenticate(token, digest),
            pin_uv_protocol=protocol.VERSION,
        )
        assertion.verify(digest, credential.public_key)
        assert assertion.auth_data.is_user_verified()
        held[name] = {
            "fmt": made.fmt,
            "make_credential_ms": round(took * 1000, 1),
            "get_assertion_ms": round((time.monotonic() - begun) * 1000, 1),
        }

    allow = [{"type": "public-key", "id": credentials[0].credential_id}]
    digest = os.urandom(32)
    silent = ctap.get_assertion(RP["id"], digest, allow, options={"up": False})
    silent.verify(digest, credentials[0].public_key)
    assert not silent.auth_data.is_user_present()
    held["silent_assertion"] = True

    client_pin = ClientPin(ctap, PinProtocolV2())
    before, _ = client_pin.get_pin_retries()
    try:
        client_pin.get_pin_token("not-the-pin", ClientPin.PERMISSION.GET_ASSERTION, RP["id"])
        raise AssertionError("a wrong PIN was accepted")
    except CtapError as error:
        assert error.code == CtapError.ERR.PIN_INVALID, error
    after, _ = client_pin.get_pin_retries()
    assert after == before - 1, f"{before} tries, then {after}"
    client_pin.get_pin_token(pin, ClientPin.PERMISSION.GET_ASSERTION, RP["id"])
    held["wrong_pin_refused"] = {"tries_before": before, "tries_after": after}

    if control:
        assert control("touch never")["ok"]
        asked = control("status")["ports"]
        asked = next(iter(asked.values()))["requests"]
        event, seen = threading.Event(), []
        canceller = threading.Thread(
            target=lambda: (control(f"wait requests {asked + 1} 5000"), time.sleep(0.3), event.set())
        )
        canceller.start()
        begun = time.monotonic()
        try:
            ctap.get_assertion(RP["id"], os.urandom(32), allow, event=event, on_keepalive=seen.append)
            raise AssertionError("signed without a touch")
        except CtapError as error:
            assert error.code == CtapError.ERR.KEEPALIVE_CANCEL, error
        canceller.join()
        assert STATUS.UPNEEDED in seen, seen
        held["cancelled_ms"] = round((time.monotonic() - begun) * 1000)

        assert control("touch delay 300")["ok"]
        digest = os.urandom(32)
        begun = time.monotonic()
        ctap.get_assertion(RP["id"], digest, allow).verify(digest, credentials[0].public_key)
        held["touched_after_ms"] = round((time.monotonic() - begun) * 1000)
        assert time.monotonic() - begun >= 0.3
        assert control("touch approve")["ok"]

        device.close()
        assert control("remove")["ok"] and control("insert")["ok"]
        ctap = Ctap2(find(options.transport, options.node))
        digest = os.urandom(32)
        ctap.get_assertion(RP["id"], digest, allow).verify(digest, credentials[0].public_key)
        held["replugged"] = True

    print(json.dumps({"ok": True, "held": held}))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        import traceback

        traceback.print_exc()
        print(f"did not hold: {error!r}", file=sys.stderr)
        sys.exit(1)
