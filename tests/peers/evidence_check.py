#!/usr/bin/env python3
"""Checks a Sceau evidence bundle. Written from docs/evidence.md and docs/log.md alone, with the package `cryptography`.

    evidence_check.py BUNDLE --log-key VKEY [--witness VKEY ...] [--roots DIR]

Prints one line per check; exit status 0 when none failed, 1 otherwise. Shares no code with sceau-verify: where the two
disagree, one of them or the document is wrong.
"""
import argparse, base64, datetime, hashlib, hmac, json, pathlib, struct, sys
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

failures = 0


class Wrong(Exception):
    pass


def need(holds, why):
    if not holds:
        raise Wrong(why)


def check(name, function, *arguments):
    """Runs one check and prints its line; its value, or None when it failed."""
    global failures
    try:
        value = function(*arguments)
        print(f"passed         {name}")
        return True if value is None else value
    except Wrong as wrong:
        failures += 1
        print(f"FAILED         {name}: {wrong}")
    except (InvalidSignature, ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        failures += 1
        print(f"FAILED         {name}: {type(error).__name__} {error}")


def unb64url(text):
    need(isinstance(text, str) and "=" not in text, "base64url without padding")
    value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    need(base64.urlsafe_b64encode(value).rstrip(b"=").decode() == text, "one spelling of base64url")
    return value


def no_duplicates(pairs):
    need(len({name for name, _ in pairs}) == len(pairs), "a name occurs twice")
    return dict(pairs)


def strict(data):
    return json.loads(data, object_pairs_hook=no_duplicates)


def canonical(value):
    """RFC 8785 for strings, booleans, integers and ASCII names."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data):
    return hashlib.sha256(data).digest()


def instant(text):
    need(text.endswith("Z"), "UTC")
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00")


# -- the log (docs/log.md) ----------------------------------------------------
def vkey(text, kind):
    name, key_id, key = text.strip().split("+", 2)
    key = base64.b64decode(key, validate=True)
    need(key[0] == kind and len(key) == 33, "a key of this kind")
    need(sha256(name.encode() + b"\n" + key)[:4].hex() == key_id, "key id")
    return name, bytes.fromhex(key_id), ed25519.Ed25519PublicKey.from_public_bytes(key[1:])


def signatures(lines, key):
    """The signatures of a note that name this key."""
    for line in lines:
        dash, name, value = line.split(" ")
        need(dash == "\u2014", "signature line")
        value = base64.b64decode(value, validate=True)
        if name == key[0] and value[:4] == key[1]:
            yield value[4:]


def checkpoint(note, key, witnesses):
    text, lines = note.rsplit("\n\n", 1)
    text, lines = text + "\n", lines.removesuffix("\n").split("\n")
    found = list(signatures(lines, key))
    need(found, "not signed by the log")
    for signature in found:
        key[2].verify(signature, text.encode())
    origin, size, root = text.split("\n")[:3]
    need(origin == key[0], "another origin")
    need(str(int(size)) == size, "size")
    for witness in witnesses:
        found = list(signatures(lines, witness))
        need(found, f"not cosigned by {witness[0]}")
        for signature in found:
            time = struct.unpack(">Q", signature[:8])[0]
            witness[2].verify(signature[8:], f"cosignature/v1\ntime {time}\n{text}".encode())
    return int(size), base64.b64decode(root, validate=True)


def inclusion(leaf, index, size, path, root):
    """RFC 9162 section 2.1.3.2."""
    need(0 <= index < size, "index beyond the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        need(sn > 0, "path too long")
        if fn & 1 or fn == sn:
            r = sha256(b"\x01" + p + r)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01" + r + p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and r == root, "inclusion proof")


def entry(claim, tree):
    leaf = unb64url(claim["leaf"])
    value = strict(leaf)
    need(canonical(value) == leaf and value["v"] == 1, "canonical entry")
    need(set(value) == {"v", "at", "type", "subjects", "sha256", "commitments", "data"}, "members of an entry")
    path = [base64.b64decode(p, validate=True) for p in claim["inclusion"]]
    inclusion(sha256(b"\x00" + leaf), claim["index"], *[tree[0], path, tree[1]])
    for field, opening in claim.get("openings", {}).items():
        mac = hmac.new(unb64url(opening["salt"]), field.encode() + b"\0" + opening["value"].encode(), "sha256")
        need(unb64url(value["commitments"][field]) == mac.digest(), f"opening of {field}")
    people = claim.get("openings", {}).get("person", {}).get("value")
    return {**value, "index": claim["index"], "person": people}


def order(entries, action, digest):
    need([e["index"] for e in entries] == sorted({e["index"] for e in entries}), "indices rise")
    times = [instant(e["at"]) for e in entries]
    need(times == sorted(times), "times never fall")
    about = [e for e in entries if e["type"].startswith(("action.", "permit."))]
    for e in about:
        need(e["subjects"]["action"] == action["id"] and unb64url(e["sha256"]["action"]) == digest, "another action")
    opens = [e["type"] in ("action.requested", "action.denied") for e in about]
    need(opens and opens[0] and sum(opens) == 1, "one request, first")
    return about[0]


# -- keys and signatures ------------------------------------------------------
def cbor(data):
    """One item of CBOR (integers, byte and text strings, arrays, maps, booleans): its value and the rest."""
    major, info, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7:
        return {20: False, 21: True, 22: None}[info], data
    if info >= 24:
        length = 1 << (info - 24)
        need(length <= 8, "definite lengths")
        info, data = int.from_bytes(data[:length], "big"), data[length:]
    if major < 2:
        return (info if major == 0 else -1 - info), data
    if major in (2, 3):
        need(info <= len(data), "length")
        return (data[:info] if major == 2 else data[:info].decode()), data[info:]
    need(major in (4, 5) and info <= len(data), "type")
    items = []
    for _ in range(info * (major - 3)):
        item, data = cbor(data)
        items.append(item)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), data


def cose(data):
    key, rest = cbor(data)
    need(not rest, "trailing bytes")
    number = lambda name: int.from_bytes(key[name], "big")
    if key[3] in (-7, -35):
        curve = {1: ec.SECP256R1(), 2: ec.SECP384R1()}[key[-1]]
        return ec.EllipticCurvePublicNumbers(number(-2), number(-3), curve).public_key(), key[3]
    if key[3] == -8:
        return ed25519.Ed25519PublicKey.from_public_bytes(key[-2]), -8
    need(key[3] == -257, "algorithm")
    return rsa.RSAPublicNumbers(number(-2), number(-1)).public_key(), -257


def verify(key, alg, signature, message):
    if alg == -8:
        key.verify(signature, message)
    elif alg == -257:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.verify(signature, message, ec.ECDSA({-7: hashes.SHA256(), -35: hashes.SHA384()}[alg]))


def client_data(data, kind, challenge, origins):
    value = strict(data)
    need(value["type"] == kind, "type")
    need(unb64url(value["challenge"]) == challenge, "challenge")
    need(value["origin"] in origins and not value.get("crossOrigin"), "origin")


def card(response, spki, challenge, origins):
    need(response["origin"] in origins, "origin")
    message = b"sceau/piv/v1\0" + challenge + sha256(response["origin"].encode())
    key = serialization.load_der_public_key(spki)
    verify(key, -257 if isinstance(key, rsa.RSAPublicKey) else -7, unb64url(response["signature"]), message)


def challenge_of(action):
    return sha256(b"sceau/action/v1\0" + action)


def registration(key):
    made = key["registration"]
    action = unb64url(made["action"])
    register = strict(action)
    need(canonical(register) == action and register["type"] == "key.register", "a key.register action")
    need(register["target"]["id"] == key["person"], "another person's registration")
    if key["kind"] == "piv":
        spki = unb64url(key["public_key_spki"])
        card(made, spki, challenge_of(action), key["origins"])
        leaf = x509.load_der_x509_certificate(unb64url(made.get("attestation") or made["certificate"]))
        need(leaf.public_key() == serialization.load_der_public_key(spki), "the certificate is of another key")
        return [leaf] + [x509.load_der_x509_certificate(unb64url(c)) for c in made["intermediates"]]
    data = unb64url(made["client_data_json"])
    client_data(data, "webauthn.create", challenge_of(action), key["origins"])
    made, rest = cbor(unb64url(made["attestation_object"]))
    auth = made["authData"]
    need(not rest and auth[:32] == sha256(key["rp_id"].encode()), "rpIdHash")
    need(auth[32] & 0x41 == 0x41, "touch, attested credential")
    length = struct.unpack(">H", auth[53:55])[0]
    need(auth[55:55 + length] == unb64url(key["credential_id"]), "another credential")
    public = unb64url(key["public_key_cose"])
    need(auth[55 + length:].startswith(public), "another public key")
    need(made["fmt"] == "packed", f"statement format {made['fmt']} is not known to this checker")
    statement = made["attStmt"]
    chain = [x509.load_der_x509_certificate(c) for c in statement.get("x5c", [])]
    signer = chain[0].public_key() if chain else cose(public)[0]
    verify(signer, statement["alg"], statement["sig"], auth + sha256(data))
    return chain


def attestation(chain, roots, at):
    need(chain, "self-attestation")
    at = at.replace(tzinfo=None)
    current, pool = chain[0], chain[1:]
    for _ in range(8):
        need(current.not_valid_before <= at <= current.not_valid_after, "not valid at that time")
        for issuer in roots + pool:
            try:
                current.verify_directly_issued_by(issuer)
            except (ValueError, TypeError, InvalidSignature):
                continue
            if issuer in roots:
                need(issuer.not_valid_before <= at <= issuer.not_valid_after, "root not valid at that time")
                return
            need(issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "issuer is no authority")
            current = issuer
            break
        else:
            raise Wrong("leads to none of the roots")
    raise Wrong("chain too long")


def response(approval, action, touch_only):
    key, given, challenge = approval["key"], approval["response"], challenge_of(action)
    if key["kind"] == "piv":
        return card(given, unb64url(key["public_key_spki"]), challenge, key["origins"])
    data, auth = unb64url(given["client_data_json"]), unb64url(given["authenticator_data"])
    need(given.get("credential_id", key["credential_id"]) == key["credential_id"], "another credential")
    client_data(data, "webauthn.get", challenge, key["origins"])
    need(auth[:32] == sha256(key["rp_id"].encode()), "rpIdHash")
    need(auth[32] & 1 and (auth[32] & 4 or touch_only), "touch and verification")
    public, alg = cose(unb64url(key["public_key_cose"]))
    verify(public, alg, unb64url(given["signature"]), auth + sha256(data))


# -- the bundle (docs/evidence.md) --------------------------------------------
def read_action(data):
    action = strict(data)
    need(canonical(action) == data and action["v"] == 1, "canonical action")
    return action


def policy(bundle, request):
    need(request["sha256"]["policy"] == bundle["policy"]["sha256"], "another policy")
    need(unb64url(request["sha256"]["decision"]) == sha256(canonical(bundle["policy"]["decision"])), "another decision")
    if "text" in bundle["policy"]:
        need(sha256(bundle["policy"]["text"].encode()) == unb64url(bundle["policy"]["sha256"]), "policy text")
    return bundle["policy"]["decision"]


def approval_entry(approval, entries, action, used):
    digest = sha256(canonical(approval["response"]))
    found = [e for e in entries if e["type"] == "action.approved" and unb64url(e["sha256"]["approval"]) == digest]
    need(len(found) == 1 and found[0]["index"] not in used, "one entry of its own with this response")
    used.add(found[0]["index"])
    need(unb64url(found[0]["sha256"]["key"]) == sha256(canonical(approval["key"])), "another key record")
    need(found[0]["subjects"]["key"] == approval["key"]["key_id"], "another key")
    need(instant(action["created_at"]) <= instant(found[0]["at"]) <= instant(action["expires_at"]), "outside its life")
    return found[0]


def person(approval, logged):
    need(approval["person"] == approval["key"]["person"], "the key is another person's")
    need(logged["person"] in (None, approval["person"]), "the log says another person")


def enrolment(approval, logged, enrolled):
    need(enrolled[0]["index"] < logged["index"], "enrolled after the approval")
    need(unb64url(enrolled[0]["sha256"]["key"]) == sha256(canonical(approval["key"])), "another key record")


def requirement(bundle, action, required):
    persons, own = {a["person"] for a in bundle["approvals"]}, action["requester"]["id"]
    enough = own in persons and required["approvals"] <= 1
    if required["approvers"] == "roles":
        also = own in persons or not required.get("requester_also", False)
        enough = len(persons - {own}) >= max(1, required["approvals"]) and also
    need(enough or bundle["state"] in ("pending", "refused", "expired"), "not enough approvals")


def state(bundle, entries):
    has = {e["type"] for e in entries}
    asked, approved = "requirement" in bundle["policy"]["decision"], bool(bundle["approvals"])
    done = has & {"action.executed", "permit.consumed"}
    closed = has & {"action.refused", "action.denied", "action.expired"}
    word = bundle["state"]
    need({
        "pending": asked and not done and not closed,
        "approved": asked and approved and not done and not closed,
        "executed": asked and approved and "action.executed" in has and not closed,
        "consumed": asked and approved and "permit.consumed" in has and not closed,
        "refused": asked and not done and closed == {"action.refused"},
        "denied": not asked and not done and closed == {"action.denied"},
        "expired": asked and not done and closed == {"action.expired"},
    }[word], f"the entries do not say {word}")


def permit(record, entries, action, digest):
    issued = [e for e in entries if e["type"] == "permit.issued"
              and unb64url(e["sha256"]["permit"]) == sha256(record["jws"].encode())]
    need(issued, "no entry for this permit")
    signed, signature = record["jws"].rsplit(".", 1)
    header, claims = [strict(unb64url(part)) for part in signed.split(".")]
    need(header["alg"] == "ES256" and header["typ"] == "permit+jwt", "header")
    jwk = [k for k in record["jwks"]["keys"] if k.get("kid") == header["kid"]]
    need(len(jwk) == 1 and jwk[0]["kty"] == "EC" and jwk[0]["crv"] == "P-256", "key")
    x, y = (int.from_bytes(unb64url(jwk[0][c]), "big") for c in "xy")
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = unb64url(signature)
    need(len(raw) == 64, "signature")
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    verify(key, -7, der, signed.encode())
    need(claims["iss"] == record["issuer"] and claims["aud"] == action["service"], "issuer, audience")
    at = instant(issued[0]["at"]).timestamp()
    need(claims["iat"] - 60 <= at < claims["exp"] <= claims["iat"] + 60, "lifetime")
    need(unb64url(claims["action_sha256"]) == digest, "another action")


def run(bundle, log_key, witnesses, roots):
    raw = unb64url(bundle["action"])
    action = check("action", read_action, raw)
    tree = check("checkpoint", checkpoint, bundle["log"]["checkpoint"], log_key, witnesses)
    if not action or not tree:
        return
    digest = sha256(raw)
    entries = [check(f"entry {i}", entry, claim, tree) for i, claim in enumerate(bundle["log"]["entries"])]
    request = all(entries) and check("order", order, entries, action, digest)
    decision = request and check("policy", policy, bundle, request)
    if not decision:
        return
    if request["person"] is not None:
        check("requester", lambda: need(request["person"] == action["requester"]["id"], "another requester"))
    required, used = decision.get("requirement"), set()
    logged = sum(e["type"] == "action.approved" for e in entries)
    check("approvals", lambda: need(logged == len(bundle["approvals"]), "as many as entries"))
    for i, approval in enumerate(bundle["approvals"]):
        made = check(f"approval {i} entry", approval_entry, approval, entries, action, used)
        if not made:
            continue
        check(f"approval {i} person", person, approval, made)
        chain = check(f"approval {i} registration", registration, approval["key"])
        if chain and roots:
            check(f"approval {i} attestation", attestation, chain, roots, instant(approval["key"]["enrolled_at"]))
        enrolled = [e for e in entries if e["type"] == "key.enrolled" and e["subjects"]["key"] == approval["key"]["key_id"]]
        if enrolled:
            check(f"approval {i} enrolment", enrolment, approval, made, enrolled)
        touch_only = (required or {}).get("verification") == "touch"
        check(f"approval {i} response", response, approval, raw, touch_only)
    if required:
        check("requirement", requirement, bundle, action, required)
    check("state", state, bundle, entries)
    if "permit" in bundle:
        check("permit", permit, bundle["permit"], entries, action, digest)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="file, or - for standard input")
    parser.add_argument("--log-key", required=True, help="verifier key or a file with it")
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--roots", help="folder of DER or PEM certificates")
    options = parser.parse_args()
    text = lambda key: key if "+" in key and not pathlib.Path(key).exists() else pathlib.Path(key).read_text()
    files = sorted(pathlib.Path(options.roots).iterdir()) if options.roots else []
    load = lambda b: x509.load_der_x509_certificate(b) if b[:1] == b"\x30" else x509.load_pem_x509_certificate(b)
    roots = [load(file.read_bytes()) for file in files]
    data = sys.stdin.buffer.read() if options.bundle == "-" else pathlib.Path(options.bundle).read_bytes()
    bundle = check("bundle", strict, data)
    if bundle:
        witnesses = [vkey(text(witness), 4) for witness in options.witness]
        check("bundle version", lambda: need(bundle["v"] == 1, "version"))
        check("bundle read", run, bundle, vkey(text(options.log_key), 1), witnesses, roots)
    print("rejected" if failures else "accepted")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
