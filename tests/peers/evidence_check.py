#!/usr/bin/env python3
"""Checks a Sceau evidence bundle. Written from docs/evidence.md and docs/log.md alone, with the package `cryptography`.

    evidence_check.py BUNDLE --log-key VKEY [--witness VKEY ...] [--roots DIR]

Prints one line per check; exit status 0 when none failed. Shares no code with sceau-verify: where they disagree, one of them or the
document is wrong. It knows `packed` statements alone; a time-stamp's own signature is left to `openssl ts -verify`.
"""
import argparse, base64, datetime, hashlib, hmac, json, pathlib, struct, sys
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

failures = []
FAULTS = (InvalidSignature, ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration, struct.error)
def need(holds, why):
    if not holds: raise ValueError(why)
def check(name, function, *arguments):
    """Runs one check and prints its line; its value (or True), or None when it failed."""
    try:
        value = function(*arguments)
    except FAULTS as fault:
        failures.append(name)
        return print(f"FAILED   {name}: {type(fault).__name__} {fault}")
    print(f"passed   {name}")
    return True if value is None else value
def unb64url(text):
    value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    need(base64.urlsafe_b64encode(value).rstrip(b"=").decode() == text, "one spelling of base64url")
    return value
unb64 = lambda text: base64.b64decode(text, validate=True)
sha256 = lambda data: hashlib.sha256(data).digest()
number = lambda data: int.from_bytes(data, "big")
def strict(data):
    def members(pairs):
        need(len(dict(pairs)) == len(pairs), "a name occurs twice")
        return dict(pairs)
    return json.loads(data, object_pairs_hook=members)
def canonical(value):
    """RFC 8785 for strings, booleans, integers and ASCII names."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
def instant(text):
    need(text.endswith("Z"), "UTC")
    return datetime.datetime.fromisoformat(text[:-1] + "+00:00")

# -- the log (docs/log.md)
def vkey(text, kind):
    name, key_id, key = text.strip().split("+", 2)
    key = unb64(key)
    need(key[0] == kind and len(key) == 33 and sha256(name.encode() + b"\n" + key)[:4].hex() == key_id, "a key of this kind")
    return name, bytes.fromhex(key_id), ed25519.Ed25519PublicKey.from_public_bytes(key[1:])
def signatures(lines, key):
    """The signatures of a note that name this key; there must be one."""
    split = [line.split(" ") for line in lines]
    need(all(len(line) == 3 and line[0] == "\u2014" for line in split), "signature lines")
    found = [unb64(value)[4:] for _, name, value in split if name == key[0] and unb64(value)[:4] == key[1]]
    need(found, f"not signed by {key[0]}")
    return found
def checkpoint(note, key, witnesses):
    text, lines = note.rsplit("\n\n", 1)
    text, lines = text + "\n", lines.removesuffix("\n").split("\n")
    for signature in signatures(lines, key):
        key[2].verify(signature, text.encode())
    origin, size, root, *_ = text.split("\n")
    need(origin == key[0] and str(int(size)) == size, "origin, size")
    for witness in witnesses:
        for signature in signatures(lines, witness):
            time = struct.unpack(">Q", signature[:8])[0]
            witness[2].verify(signature[8:], f"cosignature/v1\ntime {time}\n{text}".encode())
    return int(size), unb64(root), text
def inclusion(leaf, index, size, path, root):
    """RFC 9162 section 2.1.3.2."""
    need(0 <= index < size, "index beyond the tree")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        need(sn > 0, "path too long")
        if fn & 1 or fn == sn:
            r = sha256(b"\x01" + p + r)
            while fn and not fn & 1: fn, sn = fn >> 1, sn >> 1
        else: r = sha256(b"\x01" + r + p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and r == root, "inclusion proof")
def entry(claim, tree):
    leaf, openings = unb64url(claim["leaf"]), claim.get("openings", {})
    value = strict(leaf)
    need(canonical(value) == leaf and value["v"] == 1, "canonical entry")
    need(set(value) == {"v", "at", "type", "subjects", "sha256", "commitments", "data"}, "members of an entry")
    inclusion(sha256(b"\x00" + leaf), claim["index"], tree[0], [unb64(p) for p in claim["inclusion"]], tree[1])
    for field, opening in openings.items():
        mac = hmac.new(unb64url(opening["salt"]), field.encode() + b"\0" + opening["value"].encode(), "sha256")
        need(unb64url(value["commitments"][field]) == mac.digest(), f"opening of {field}")
    return {**value, "index": claim["index"], "person": openings.get("person", {}).get("value")}
def order(entries, action, digest):
    need([e["index"] for e in entries] == sorted({e["index"] for e in entries}), "indices rise")
    need([e["at"] for e in entries] == [e["at"] for e in sorted(entries, key=lambda e: instant(e["at"]))], "times never fall")
    about = [e for e in entries if e["type"].startswith(("action.", "permit."))]
    for e in about:
        need(e["subjects"]["action"] == action["id"] and unb64url(e["sha256"]["action"]) == digest, "another action")
    opens = [e["type"] in ("action.requested", "action.denied") for e in about]
    need(opens and opens[0] and sum(opens) == 1, "one request, first")
    return about[0]

# -- keys and signatures
def cbor(data):
    """One item of CBOR (integers, byte and text strings, arrays, maps, booleans): its value and the rest."""
    major, info, data = data[0] >> 5, data[0] & 31, data[1:]
    if major == 7: return {20: False, 21: True, 22: None}[info], data
    if info >= 24:
        length = 1 << (info - 24)
        need(length <= 8, "definite lengths")
        info, data = int.from_bytes(data[:length], "big"), data[length:]
    if major < 2: return (info if major == 0 else -1 - info), data
    need(major < 6 and info <= len(data), "type, length")
    if major < 4: return (data[:info] if major == 2 else data[:info].decode()), data[info:]
    items = [None] * (info * (major - 3))
    for i in range(len(items)):
        items[i], data = cbor(data)
    return (items if major == 4 else dict(zip(items[::2], items[1::2]))), data
def cose(data):
    key, rest = cbor(data)
    need(not rest and key[3] in SCHEMES, "trailing bytes, algorithm")
    if key[3] == -8: return ed25519.Ed25519PublicKey.from_public_bytes(key[-2]), -8
    if key[3] == -257: return rsa.RSAPublicNumbers(number(key[-2]), number(key[-1])).public_key(), -257
    curve = {1: ec.SECP256R1(), 2: ec.SECP384R1()}[key[-1]]
    return ec.EllipticCurvePublicNumbers(number(key[-2]), number(key[-3]), curve).public_key(), key[3]
SCHEMES = {-8: (), -257: (padding.PKCS1v15(), hashes.SHA256()), -7: (ec.ECDSA(hashes.SHA256()),), -35: (ec.ECDSA(hashes.SHA384()),)}
def client_data(data, kind, challenge, origins):
    value = strict(data)
    need(value["type"] == kind and unb64url(value["challenge"]) == challenge, "type, challenge")
    need(value["origin"] in origins and not value.get("crossOrigin"), "origin")
def card(response, spki, challenge, origins):
    need(response["origin"] in origins, "origin")
    key, message = serialization.load_der_public_key(spki), b"sceau/piv/v1\0" + challenge + sha256(response["origin"].encode())
    key.verify(unb64url(response["signature"]), message, *SCHEMES[-257 if isinstance(key, rsa.RSAPublicKey) else -7])
challenge_of = lambda action: sha256(b"sceau/action/v1\0" + action)
certificate = lambda text: x509.load_der_x509_certificate(unb64url(text))
def registration(key):
    """The certificates of the attestation, leaf first."""
    made = key["registration"]
    action = unb64url(made["action"])
    need(read_action(action, "key.register")["target"]["id"] == key["person"], "another person's registration")
    if key["kind"] == "piv":
        spki = unb64url(key["public_key_spki"])
        card(made, spki, challenge_of(action), key["origins"])
        leaf = certificate(made.get("attestation") or made["certificate"])
        need(leaf.public_key() == serialization.load_der_public_key(spki), "the certificate is of another key")
        return [leaf] + [certificate(text) for text in made["intermediates"]]
    client_data(data := unb64url(made["client_data_json"]), "webauthn.create", challenge_of(action), key["origins"])
    made, rest = cbor(unb64url(made["attestation_object"]))
    auth, statement, public = made["authData"], made["attStmt"], unb64url(key["public_key_cose"])
    need(not rest and auth[:32] == sha256(key["rp_id"].encode()) and auth[32] & 0x41 == 0x41, "rpIdHash, touch, attested credential")
    length = struct.unpack(">H", auth[53:55])[0]
    need(auth[55:55 + length] == unb64url(key["credential_id"]) and auth[55 + length:].startswith(public), "another credential or key")
    need(made["fmt"] == "packed", f"statement format {made['fmt']} is not known to this checker")
    chain = [x509.load_der_x509_certificate(der) for der in statement.get("x5c", [])]
    signer = chain[0].public_key() if chain else cose(public)[0]
    signer.verify(statement["sig"], auth + sha256(data), *SCHEMES[statement["alg"]])
    return chain
def issued(certificate, issuer):
    try:
        return certificate.verify_directly_issued_by(issuer) is None
    except FAULTS:
        return False
def attestation(chain, roots, at):
    current, at = chain[0], at.replace(tzinfo=None)
    for _ in range(8):
        need(current.not_valid_before <= at <= current.not_valid_after, "not valid at that time")
        if current in roots: return
        current = next(it for it in roots + chain[1:] if issued(current, it))
        need(current in roots or current.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, "no authority")
    raise ValueError("chain too long")
def metadata(key, chain):
    entry, at, date = strict(unb64url(key["registration"]["metadata"]["entry"])), instant(key["enrolled_at"]), datetime.date.fromisoformat
    auth = cbor(unb64url(key["registration"]["attestation_object"]))[0]["authData"]
    need(entry["aaguid"].replace("-", "").lower() == auth[37:53].hex(), "another model's entry")
    roots = [x509.load_der_x509_certificate(base64.b64decode(root)) for root in entry["metadataStatement"]["attestationRootCertificates"]]
    attestation(chain, roots, at)
    past = [r["status"] for r in entry["statusReports"] if "effectiveDate" not in r or date(r["effectiveDate"]) <= at.date()]
    need(past and not BAD & set(past), f"status {past}")
BAD = {"REVOKED", "RETIRED", "USER_VERIFICATION_BYPASS", "ATTESTATION_KEY_COMPROMISE", "USER_KEY_REMOTE_COMPROMISE", "USER_KEY_PHYSICAL_COMPROMISE"}
def response(approval, action, touch_only):
    key, given, challenge = approval["key"], approval["response"], challenge_of(action)
    if key["kind"] == "piv": return card(given, unb64url(key["public_key_spki"]), challenge, key["origins"])
    data, auth = unb64url(given["client_data_json"]), unb64url(given["authenticator_data"])
    need(given.get("credential_id", key["credential_id"]) == key["credential_id"], "another credential")
    client_data(data, "webauthn.get", challenge, key["origins"])
    need(auth[:32] == sha256(key["rp_id"].encode()) and auth[32] & 1 and (auth[32] & 4 or touch_only), "rpIdHash, touch, verification")
    public, alg = cose(unb64url(key["public_key_cose"]))
    public.verify(unb64url(given["signature"]), auth + sha256(data), *SCHEMES[alg])

# -- the bundle (docs/evidence.md)
def read_action(data, kind=None):
    action = strict(data)
    need(canonical(action) == data and action["v"] == 1 and kind in (None, action["type"]), "canonical action of this kind")
    return action
def policy(record, request):
    need(request["sha256"]["policy"] == record["sha256"], "another policy")
    need(unb64url(request["sha256"]["decision"]) == sha256(canonical(record["decision"])), "another decision")
    need("text" not in record or sha256(record["text"].encode()) == unb64url(record["sha256"]), "policy text")
    return record["decision"]
def approval_entry(approval, entries, action, used):
    digest = sha256(canonical(approval["response"]))
    found = [e for e in entries if e["type"] == "action.approved" and unb64url(e["sha256"]["approval"]) == digest]
    need(len(found) == 1 and found[0]["index"] not in used, "one entry of its own with this response")
    used.add(found[0]["index"])
    need(unb64url(found[0]["sha256"]["key"]) == sha256(canonical(approval["key"])), "another key record")
    need(found[0]["subjects"]["key"] == approval["key"]["key_id"], "another key")
    need(instant(action["created_at"]) <= instant(found[0]["at"]) <= instant(action["expires_at"]), "outside its life")
    return found[0]
def person(approval, key, logged, enrolments):
    need(approval["person"] == key["person"], "the key is another person's")
    need(logged["person"] in (None, approval["person"]), "the log says another person")
    for enrolled in enrolments:
        need(enrolled["index"] < logged["index"], "enrolled after the approval")
        need(unb64url(enrolled["sha256"]["key"]) == sha256(canonical(key)), "another key record than the enrolment's")
def requirement(bundle, action, required):
    persons, own, count = {a["person"] for a in bundle["approvals"]}, action["requester"]["id"], required["approvals"]
    others, also = len(persons - {own}) >= count, own in persons or not required.get("requester_also")
    enough = others and also if required["approvers"] == "roles" else count == 0 or own in persons and count == 1
    need(enough or bundle["state"] in ("pending", "refused", "expired"), "not enough approvals")
def state(bundle, entries):
    has, word = {e["type"] for e in entries}, bundle["state"]
    executed, consumed, closed = "action.executed" in has, has & {"permit.consumed", "action.consumed"}, has & {"action.refused", "action.denied", "action.expired"}
    need(("requirement" in bundle["policy"]["decision"]) == (word != "denied"), "decision")
    under_way = "permit.consumed" in has and not has & {"action.executed", "action.consumed", "action.outcome-unknown"}
    idle, ended = not executed and not consumed, {"executing": under_way, "executed": executed, "consumed": consumed and not executed}
    if word in ("pending", "approved", "executing", "executed", "consumed"):
        need(not closed and ended.get(word, idle), "the entries say another state")
        allowed = not bundle["policy"]["decision"]["requirement"]["approvals"]
        need(allowed or bundle["approvals"] or word == "pending", "no approvals")
    else: need(word in ("refused", "denied", "expired") and idle and closed == {f"action.{word}"}, "another state")
def fresh(entries, within):
    approved, used = ([instant(e["at"]) for e in entries if e["type"] == kind] for kind in ("action.approved", "permit.consumed"))
    need(not approved or not used or used[-1] - approved[-1] <= datetime.timedelta(seconds=within), "used too late")
def permit(record, entries, action, digest):
    jws = record["jws"]
    issued = next(e for e in entries if e["type"] == "permit.issued" and unb64url(e["sha256"]["permit"]) == sha256(jws.encode()))
    head, claims, signature = (unb64url(part) for part in jws.split("."))
    head, claims, at = strict(head), strict(claims), instant(issued["at"]).timestamp()
    jwk = next(key for key in record["jwks"]["keys"] if key["kid"] == head["kid"])
    need((head["typ"], head["alg"], jwk["kty"], jwk["crv"], len(signature)) == ("permit+jwt", "ES256", "EC", "P-256", 64), "form")
    public = ec.EllipticCurvePublicNumbers(number(unb64url(jwk["x"])), number(unb64url(jwk["y"])), ec.SECP256R1()).public_key()
    signature = utils.encode_dss_signature(number(signature[:32]), number(signature[32:]))
    public.verify(signature, jws.rsplit(".", 1)[0].encode(), *SCHEMES[-7])
    need(claims["iss"] == record["issuer"] and claims["aud"] == action["service"], "iss, aud")
    need(unb64url(claims["action_sha256"]) == digest, "another action")
    need(0 < claims["exp"] - claims["iat"] <= 60 and int(claims["iat"]) <= at < claims["exp"], "time")
def timestamp(token, text):
    """The message imprint (SHA-256 with or without parameters, the checkpoint's) stands in the token."""
    heads = (bytes.fromhex(head + "0609608648016503040201" + tail) for head, tail in (("300b", "0420"), ("300d", "05000420")))
    need(any(head + sha256(text.encode()) in unb64url(token) for head in heads), "of something else")
def run(bundle, log_key, witnesses, roots):
    need(bundle["v"] == 1, "version")
    raw = unb64url(bundle["action"])
    action, digest = check("action", read_action, raw), sha256(raw)
    tree = check("checkpoint", checkpoint, bundle["log"]["checkpoint"], log_key, witnesses)
    entries = tree and [check(f"entry {i}", entry, claim, tree) for i, claim in enumerate(bundle["log"]["entries"])]
    request = action and entries and all(entries) and check("order", order, entries, action, digest)
    decision = request and check("policy", policy, bundle["policy"], request)
    need(decision, "cannot go on")
    check("requester", need, request["person"] in (None, action["requester"]["id"]), "the log says another requester")
    used, required = set(), decision.get("requirement")
    check("approvals", need, sum(e["type"] == "action.approved" for e in entries) == len(bundle["approvals"]), "as many as entries")
    for i, approval in enumerate(bundle["approvals"]):
        key, name = approval["key"], f"approval {i}"
        logged = check(f"{name} entry", approval_entry, approval, entries, action, used)
        chain = check(f"{name} registration", registration, key)
        enrolments = [e for e in entries if e["type"] == "key.enrolled" and e["subjects"]["key"] == key["key_id"]]
        logged and check(f"{name} person, enrolment", person, approval, key, logged, enrolments)
        chain and roots and check(f"{name} attestation", attestation, chain, roots, instant(key["enrolled_at"]))
        chain and "metadata" in key["registration"] and check(f"{name} metadata", metadata, key, chain)
        check(f"{name} response", response, approval, raw, (required or {}).get("verification") == "touch")
    if required:
        check("requirement", requirement, bundle, action, required)
        required.get("fresh") is not None and check("fresh", fresh, entries, required["fresh"])
    check("state", state, bundle, entries)
    "permit" in bundle and check("permit", permit, bundle["permit"], entries, action, digest)
    for i, token in enumerate(bundle.get("timestamps", [])):
        check(f"timestamp {i}", timestamp, token, tree[2])

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="file, or - for standard input")
    parser.add_argument("--log-key", required=True, help="verifier key, or a file with it")
    parser.add_argument("--witness", action="append", default=[])
    parser.add_argument("--roots", help="folder of certificates: files in DER, or in PEM with one or several")
    options = parser.parse_args()
    text = lambda key: key if "+" in key and not pathlib.Path(key).exists() else pathlib.Path(key).read_text()
    load = lambda b: [x509.load_der_x509_certificate(b)] if b[:1] == b"\x30" else x509.load_pem_x509_certificates(b)
    files = sorted(pathlib.Path(options.roots).iterdir()) if options.roots else []
    roots = [root for file in files for root in load(file.read_bytes())]
    witnesses = [vkey(text(witness), 4) for witness in options.witness]
    bundle = check("json", strict, sys.stdin.buffer.read() if options.bundle == "-" else pathlib.Path(options.bundle).read_bytes())
    if bundle: check("bundle", run, bundle, vkey(text(options.log_key), 1), witnesses, roots)
    print("rejected" if failures else "accepted")
    return 1 if failures else 0

if __name__ == "__main__":
    sys.exit(main())
