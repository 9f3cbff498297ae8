#!/usr/bin/env python3
"""Regenerates pin_protocol.json and requests.json with an independent implementation: PyPI fido2 2.2.1 (and the cryptography package).

python3 -m venv v && v/bin/pip install fido2==2.2.1 && v/bin/python generate.py
"""
import json, os, pathlib
from cryptography.hazmat.primitives.asymmetric import ec
import fido2.ctap2.pin as pin
from fido2 import cbor
from fido2.ctap2 import ClientPin, CredentialManagement, Ctap2
from fido2.ctap2.pin import PinProtocolV1, PinProtocolV2

HERE = pathlib.Path(__file__).parent
PLATFORM = bytes(range(1, 33))
AUTHENTICATOR = bytes(range(101, 133))
TOKEN = bytes(range(200, 232))
HASH = bytes(range(50, 82))
RANDOM = []  # what was drawn, in order


def urandom(n):
    drawn = bytes((0x10 * (len(RANDOM) + 1) + i) & 0xFF for i in range(n))
    RANDOM.append(drawn)
    return drawn


os.urandom = urandom
pin.ec.generate_private_key = lambda curve, backend=None: ec.derive_private_key(int.from_bytes(PLATFORM, "big"), curve)


def point(scalar):
    numbers = ec.derive_private_key(int.from_bytes(scalar, "big"), ec.SECP256R1()).public_key().public_numbers()
    return numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big")


class Device:
    """Records the requests; answers like an authenticator whose secrets are the constants above."""

    capabilities = 0x04

    def __init__(self, protocol, secret):
        self.protocol, self.secret, self.requests = protocol, secret, []

    def call(self, cmd, data=b"", event=None, on_keepalive=None):
        command, body = data[0], cbor.decode(data[1:]) if len(data) > 1 else {}
        if command == 4:
            x = {1: ["FIDO_2_1"], 3: bytes(16), 4: {"clientPin": True, "credMgmt": True, "pinUvAuthToken": True, "rk": True}, 6: [2, 1]}
            return b"\0" + cbor.encode(x)
        self.requests.append(data.hex())
        if command == 6 and body[2] == 2:
            x, y = point(AUTHENTICATOR)
            return b"\0" + cbor.encode({1: {1: 2, 3: -25, -1: 1, -2: x, -3: y}})
        if command == 6 and body[2] in (5, 6, 9):
            return b"\0" + cbor.encode({2: self.protocol.encrypt(self.secret, TOKEN)})
        if command == 6 and body[2] == 1:
            return b"\0" + cbor.encode({3: 8})
        if command == 6:
            return b"\0"
        raise KeyboardInterrupt


def sent(protocol, action):
    RANDOM.clear()
    x, y = point(AUTHENTICATOR)
    secret = protocol.encapsulate({-2: x, -3: y})[1]
    device = Device(protocol, secret)
    ctap = Ctap2(device)
    try:
        action(ClientPin(ctap, protocol), ctap)
    except KeyboardInterrupt:
        pass
    return device.requests


vectors = []
for protocol in (PinProtocolV1(), PinProtocolV2()):
    x, y = point(AUTHENTICATOR)
    px, py = point(PLATFORM)
    secret = protocol.encapsulate({-2: x, -3: y})[1]
    token_enc = protocol.encrypt(secret, TOKEN)
    vector = {
        "protocol": protocol.VERSION,
        "platform_scalar": PLATFORM.hex(),
        "platform_x": px.hex(),
        "platform_y": py.hex(),
        "authenticator_x": x.hex(),
        "authenticator_y": y.hex(),
        "token": TOKEN.hex(),
        "token_encrypted": token_enc.hex(),
        "client_data_hash": HASH.hex(),
        "token_authenticates": protocol.authenticate(TOKEN, HASH).hex(),
        "secret_authenticates": protocol.authenticate(secret, HASH).hex(),
        "requests": {},
    }
    P = ClientPin.PERMISSION
    for name, action in {
        "pin_retries": lambda pin, _: pin.get_pin_retries(),
        "set_pin": lambda pin, _: pin.set_pin("caf\u00e9 0451"),
        "change_pin": lambda pin, _: pin.change_pin("123456", "caf\u00e9 0451"),
        "pin_token": lambda pin, _: pin.get_pin_token("123456"),
        "token_using_pin": lambda pin, _: pin.get_pin_token("123456", P.MAKE_CREDENTIAL | P.GET_ASSERTION, "sceau.example"),
        "token_using_uv": lambda pin, _: pin.get_uv_token(P.GET_ASSERTION, "sceau.example"),
    }.items():
        requests = sent(protocol, action)
        # The platform's draws come first; a last one may be the authenticator's own.
        vector["requests"][name] = {"sent": requests, "random": [r.hex() for r in RANDOM]}
    vectors.append(vector)
(HERE / "pin_protocol.json").write_text(json.dumps(vectors, indent=1) + "\n")

RP = {"id": "sceau.example", "name": "Sceau"}
USER = {"id": b"amartin", "name": "amartin", "displayName": "Alice Martin"}
PARAMS = [{"type": "public-key", "alg": alg} for alg in (-7, -8, -257)]
LIST = [{"type": "public-key", "id": bytes([7]) * 64}, {"type": "public-key", "id": bytes([9]) * 300}]
AUTH = PinProtocolV2().authenticate(TOKEN, HASH)
messages = {
    "make_credential_least": lambda _, c: c.make_credential(HASH, {"id": RP["id"]}, {"id": USER["id"]}, PARAMS[:1]),
    "make_credential_most": lambda _, c: c.make_credential(
        HASH, RP, USER, PARAMS, LIST, {"credProtect": 3, "minPinLength": True}, {"rk": True}, AUTH, 2, enterprise_attestation=1
    ),
    "make_credential_uv_option": lambda _, c: c.make_credential(HASH, RP, USER, PARAMS, None, None, {"rk": True, "uv": True}),
    "get_assertion_least": lambda _, c: c.get_assertion(RP["id"], HASH),
    "get_assertion_most": lambda _, c: c.get_assertion(RP["id"], HASH, LIST, None, None, AUTH, 2),
    "get_assertion_silent": lambda _, c: c.get_assertion(RP["id"], HASH, LIST, None, {"up": False}),
    "credential_metadata": lambda _, c: CredentialManagement(c, PinProtocolV2(), TOKEN).get_metadata(),
    "credential_rps": lambda _, c: CredentialManagement(c, PinProtocolV2(), TOKEN).enumerate_rps_begin(),
    "credential_list": lambda _, c: CredentialManagement(c, PinProtocolV2(), TOKEN).enumerate_creds_begin(bytes([3]) * 32),
    "credential_next": lambda _, c: CredentialManagement(c, PinProtocolV2(), TOKEN).enumerate_creds_next(),
    "credential_delete": lambda _, c: CredentialManagement(c, PinProtocolV2(), TOKEN).delete_cred(LIST[0]),
    "selection": lambda _, c: c.selection(),
    "reset": lambda _, c: c.reset(),
}
requests = {name: sent(PinProtocolV2(), action)[0] for name, action in messages.items()}
(HERE / "requests.json").write_text(json.dumps(requests, indent=1) + "\n")
