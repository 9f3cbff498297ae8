//! What this workstation calls itself to the server, so that a policy may want approvers at different ones (docs/policy.md, *Four eyes*).
//!
//! A claim: whoever controls the machine can say anything. It is a digest of the machine's own identifier (machine-id(5), which must not be told
//! as it is), so that it stays the same over reboots and names, says nothing of the machine, and is not the same elsewhere but for copied disks.

use crate::ceremony::sha256;

/// Letters of the digest that are told.
const LENGTH: usize = 32;

/// This machine's name for itself; `None` where it has no identifier.
#[must_use]
pub fn of_this_machine() -> Option<String> {
    name(&std::fs::read_to_string("/etc/machine-id").ok()?)
}

fn name(machine_id: &str) -> Option<String> {
    let id = machine_id.trim();
    let sound = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let digest = sha256(format!("sceau/device/v1\0{id}").as_bytes());
    let told = sceau_proof::base64url::encode(digest);
    sound.then(|| told.chars().take(LENGTH).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_told_apart_and_their_identifiers_stay_here() {
        let id = "0123456789abcdef0123456789abcdef";
        let told = name(&format!("{id}\n")).unwrap();
        assert_eq!(told, name(id).unwrap());
        assert!(told.len() == LENGTH && !told.contains(&id[..8]));
        assert_ne!(told, name(&id.replace('0', "1")).unwrap());
        for none in ["", "uninitialized\n", "0123"] {
            assert_eq!(name(none), None, "{none:?}");
        }
    }
}
