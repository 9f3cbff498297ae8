#!/usr/bin/env python3
"""A PIV card as pyscard and python-cryptography see it: independent of our client, our parser and our verifier.

Checks: certificate of slot 9C read and issued by the given authority; PIN wrong (one try less) and right; a signature
by 9C verified with the certificate's key, with PIN every time; key attestation (INS F9) chained to the given root, its
key the certificate's, its policies as asked; with vkey's control socket: no signature without a touch, a card pulled
between PIN and signature.

Exit: 0 everything held, 1 something did not (named on standard error), 3 no card.
"""

import argparse
import gzip
import json
import os
import socket
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from smartcard.Exceptions import CardConnectionException, NoCardException
from smartcard.System import readers

SELECT = bytes.fromhex("00a404000ba00000030800001000010000")
SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tlv(tag, content):
    length = len(content)
    head = bytes([length]) if length < 0x80 else bytes([0x81, length]) if length < 0x100 else b"\x82" + length.to_bytes(2, "big")
    return bytes.fromhex(tag) + head + content


def untlv(data):
    """The elements of a TLV string, by tag in hexadecimal."""
    elements, at = {}, 0
    while at < len(data):
        size = 2 if data[at] & 0x1F == 0x1F else 1
        tag, at = data[at : at + size].hex(), at + size
        length, at = data[at], at + 1
        if length > 0x80:
            count = length - 0x80
            length, at = int.from_bytes(data[at : at + count], "big"), at + count
        elements[tag], at = data[at : at + length], at + length
    return elements


class Card:
    def __init__(self, timeout=10.0):
        deadline = time.monotonic() + timeout
        while True:
            for reader in readers():
                try:
                    self.link = reader.createConnection()
                    self.link.connect()
                    if self.raw(SELECT)[1] == 0x9000:
                        return
                except (CardConnectionException, NoCardException):
                    pass
            if time.monotonic() > deadline:
                print("no PIV card", file=sys.stderr)
                sys.exit(3)
            time.sleep(0.05)

    def raw(self, apdu):
        data, high, low = self.link.transmit(list(apdu))
        data = bytes(data)
        while high == 0x61:
            more, high, low = self.link.transmit([0, 0xC0, 0, 0, low])
            data += bytes(more)
        return data, high << 8 | low

    def send(self, ins, p1, p2, data=b""):
        """By command chaining, as cards without extended lengths need it."""
        while len(data) > 255:
            _, status = self.raw(bytes([0x10, ins, p1, p2, 255]) + data[:255])
            assert status == 0x9000, f"chaining: {status:04x}"
            data = data[255:]
        return self.raw(bytes([0, ins, p1, p2]) + (bytes([len(data)]) + data if data else b"") + b"\x00")

    def ok(self, *command):
        data, status = self.send(*command)
        assert status == 0x9000, f"{command[0]:02x}: {status:04x}"
        return data

    def certificate(self, obj):
        content = untlv(untlv(self.ok(0xCB, 0x3F, 0xFF, tlv("5c", bytes.fromhex(obj))))["53"])
        body = gzip.decompress(content["70"]) if content["71"] == b"\x01" else content["70"]
        return x509.load_der_x509_certificate(body)

    def verify_pin(self, pin):
        return self.send(0x20, 0, 0x80, pin.encode().ljust(8, b"\xff"))[1]

    def sign(self, key, message):
        """The signature of slot 9C, or the status word."""
        digest = hashes.Hash(hashes.SHA256() if key.key_size != 384 else hashes.SHA384())
        digest.update(message)
        block, algorithm = digest.finalize(), {256: 0x11, 384: 0x14, 2048: 0x07}[key.key_size]
        if isinstance(key, rsa.RSAPublicKey):
            info = bytes.fromhex("3031300d060960864801650304020105000420") + block
            block = b"\x00\x01" + b"\xff" * (key.key_size // 8 - len(info) - 3) + b"\x00" + info
        answer, status = self.send(0x87, algorithm, 0x9C, tlv("7c", tlv("82", b"") + tlv("81", block)))
        return untlv(untlv(answer)["7c"])["82"] if status == 0x9000 else status


def check(key, signature, message):
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.verify(signature, message, ec.ECDSA(hashes.SHA256() if key.key_size == 256 else hashes.SHA384()))


def say(path, words):
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(path)
        link.sendall((words + "\n").encode())
        return json.loads(link.makefile().readline())


def load(path):
    return x509.load_pem_x509_certificates(open(path, "rb").read()) if os.path.getsize(path) else []


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--issuer", required=True, help="directory of the card office (root.pem)")
    parser.add_argument("--model", help="directory of the PIV model (root.pem, intermediates.pem): check the attestation")
    parser.add_argument("--serial", type=int, default=25000001)
    parser.add_argument("--touch", choices=["never", "always"], default="never", help="touch policy that the key was made with")
    parser.add_argument("--control", help="vkey's control socket: also try touches and pulling")
    options = parser.parse_args()
    held = {}

    card = Card()
    certificate = card.certificate("5fc10a")
    certificate.verify_directly_issued_by(load(f"{options.issuer}/root.pem")[0])
    key = certificate.public_key()
    held["holder"] = certificate.subject.rfc4514_string()

    assert card.sign(key, b"without PIN") == 0x6982, "signed without a PIN"
    before = card.send(0x20, 0, 0x80)[1]
    wrong = card.verify_pin("000000")
    assert before & 0xFFF0 == 0x63C0 and wrong == before - 1, f"{before:04x}, then {wrong:04x}"
    held["tries_left_after_wrong_pin"] = wrong & 0xF

    assert card.verify_pin("123456") == 0x9000
    message = os.urandom(40)
    begun = time.monotonic()
    check(key, card.sign(key, message), message)
    held["sign_ms"] = round((time.monotonic() - begun) * 1000, 1)
    assert card.sign(key, b"PIN used up") == 0x6982, "slot 9C signed twice with one PIN"

    if options.model:
        leaf = x509.load_der_x509_certificate(card.ok(0xF9, 0x9C, 0))
        f9 = card.certificate("5fff01")
        chain = [f9] + load(f"{options.model}/intermediates.pem")[::-1] + load(f"{options.model}/root.pem")
        for child, parent in zip([leaf] + chain, chain):
            child.verify_directly_issued_by(parent)
        assert leaf.public_key().public_bytes(*SPKI) == key.public_bytes(*SPKI), "another key is attested"
        extension = {e.oid.dotted_string: e.value.value for e in leaf.extensions if e.oid.dotted_string.startswith("1.3.6.1.4.1.41482.3.")}
        policies = extension["1.3.6.1.4.1.41482.3.8"]
        assert policies == bytes([3, 2 if options.touch == "always" else 1]), policies.hex()
        assert int.from_bytes(extension["1.3.6.1.4.1.41482.3.7"][2:], "big") == options.serial
        assert card.ok(0xF8, 0, 0) == options.serial.to_bytes(4, "big")
        assert card.ok(0xFD, 0, 0) == extension["1.3.6.1.4.1.41482.3.3"]
        assert card.send(0xF9, 0x9D, 0)[1] == 0x6A80, "an empty slot was attested"
        held["attested"] = leaf.subject.rfc4514_string()

    if options.control and options.touch == "always":
        assert say(options.control, "touch never piv")["ok"]
        assert card.verify_pin("123456") == 0x9000
        answers = []
        signing = threading.Thread(target=lambda: answers.append(card.sign(key, message)))
        signing.start()
        assert say(options.control, "wait pending 5000 piv")["ok"], "the card did not ask for a touch"
        assert say(options.control, "touch press piv")["ok"]
        signing.join()
        check(key, answers[0], message)
        held["signed_by_touch"] = True
        assert say(options.control, "touch approve piv")["ok"]

    if options.control:
        assert card.verify_pin("123456") == 0x9000
        assert say(options.control, "remove piv")["ok"]
        try:
            raise AssertionError(f"a pulled card answered {card.sign(key, message)}")
        except CardConnectionException:
            pass
        assert say(options.control, "insert piv")["ok"]
        card.link.disconnect()  # which takes the card's power; left to the garbage collector it would do so later
        card = Card()
        answer = card.sign(key, message)
        assert answer == 0x6982, "the PIN survived a removal"
        assert card.verify_pin("123456") == 0x9000
        check(key, card.sign(key, message), message)
        held["pulled_and_back"] = True

    print(json.dumps({"ok": True, "held": held}))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        import traceback

        traceback.print_exc()
        print(f"did not hold: {error!r}", file=sys.stderr)
        sys.exit(1)
