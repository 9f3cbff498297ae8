"""The same operations by libfido2's library (Debian's libfido2.so.1) in one process with its handle kept open: a column of `usb.rs`.

    libfido2.py NODE CONTROL ROUNDS < PIN      one line: medians of getInfo, makeCredential, getAssertion in ms, without the firmware's own time
"""
import ctypes, json, socket, statistics, sys, time

node, control, rounds = sys.argv[1].encode(), sys.argv[2], int(sys.argv[3])
pin = sys.stdin.readline().strip().encode()
fido = ctypes.CDLL("libfido2.so.1")
for name in ("fido_dev_new", "fido_cbor_info_new", "fido_cred_new", "fido_assert_new", "fido_cred_id_ptr"):
    getattr(fido, name).restype = ctypes.c_void_p
fido.fido_cred_id_len.restype = ctypes.c_size_t


def call(name, *arguments):
    code = getattr(fido, name)(*arguments)
    if code != 0:
        sys.exit(f"{name}: {code}")


def pointer(value):
    return ctypes.c_void_p(value)


def worked():
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(control)
        stream.sendall(b"status\n")
        return json.loads(stream.makefile().readline())["ports"]["usb"]["worked_us"] / 1000


def median(work):
    took = []
    for _ in range(rounds + 1):
        before, begun = worked(), time.perf_counter()
        work()
        took.append((time.perf_counter() - begun) * 1000 - (worked() - before))
    return statistics.median(took[1:])


fido.fido_init(0)
device = pointer(fido.fido_dev_new())
call("fido_dev_open", device, node)
digest, user = bytes(32), b"alice"


def get_info():
    info = pointer(fido.fido_cbor_info_new())
    call("fido_dev_get_cbor_info", device, info)
    fido.fido_cbor_info_free(ctypes.byref(info))


def make():
    credential = pointer(fido.fido_cred_new())
    call("fido_cred_set_type", credential, -7)
    call("fido_cred_set_clientdata_hash", credential, digest, ctypes.c_size_t(32))
    call("fido_cred_set_rp", credential, b"sceau.example", None)
    call("fido_cred_set_user", credential, user, ctypes.c_size_t(len(user)), b"alice", b"Alice", None)
    call("fido_dev_make_cred", device, credential, pin)
    made = ctypes.string_at(fido.fido_cred_id_ptr(credential), fido.fido_cred_id_len(credential))
    fido.fido_cred_free(ctypes.byref(credential))
    return made


made = make()


def sign():
    assertion = pointer(fido.fido_assert_new())
    call("fido_assert_set_clientdata_hash", assertion, digest, ctypes.c_size_t(32))
    call("fido_assert_set_rp", assertion, b"sceau.example")
    call("fido_assert_allow_cred", assertion, made, ctypes.c_size_t(len(made)))
    call("fido_dev_get_assert", device, assertion, pin)
    fido.fido_assert_free(ctypes.byref(assertion))


print(median(get_info), median(make), median(sign))
call("fido_dev_close", device)
