//! HID report descriptors (HID 1.11 §6.2.2): is it a FIDO authenticator, and how large are its reports?
//!
//! Recognised by usage alone (page 0xF1D0, usage 0x01), never by a list of vendors. The bytes are the device's own and hostile: they are read once,
//! front to back, with no recursion, no allocation and no arithmetic that can overflow.

/// The longest descriptor that the kernel hands out (`HID_MAX_DESCRIPTOR_SIZE`).
pub const MAX_DESCRIPTOR: usize = 4096;

const FIDO_PAGE: u32 = 0xF1D0;
const FIDO_USAGE: u32 = 0x01;
/// Deepest nesting of Push items and of collections; real descriptors have two.
const MAX_DEPTH: usize = 8;
const LONG_ITEM: u8 = 0xFE;
/// Collection (Application).
const APPLICATION: u32 = 0x01;

/// Global items that Push and Pop keep (§6.2.2.7).
#[derive(Clone, Copy, Default)]
struct Globals {
    page: u32,
    report_size: u32,
    report_count: u32,
}

/// The size in bytes of the reports of the FIDO collection, without report number, the same in both directions. `None`: there is no such
/// collection, its reports are numbered or of uneven or impossible sizes (CTAP 2.2 §11.2.8.2), or the descriptor is broken.
#[must_use]
pub fn fido_report_size(descriptor: &[u8]) -> Option<usize> {
    if descriptor.len() > MAX_DESCRIPTOR {
        return None;
    }
    let mut rest = descriptor;
    let mut globals = Globals::default();
    let mut pushed = [Globals::default(); MAX_DEPTH];
    let mut pushes = 0_usize;
    let mut usage = None;
    let mut depth = 0_usize;
    let mut within = false;
    let (mut input, mut output) = (0_u32, 0_u32);
    while let [head, after @ ..] = rest {
        if *head == LONG_ITEM {
            let [length, _tag, after @ ..] = after else {
                return None;
            };
            rest = after.get(usize::from(*length)..)?;
            continue;
        }
        let (data, after) = after.split_at_checked([0, 1, 2, 4][usize::from(head & 0x03)])?;
        rest = after;
        let value = data
            .iter()
            .rev()
            .fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
        match head & 0xFC {
            // Global items.
            0x04 => globals.page = value,
            0x74 => globals.report_size = value,
            0x94 => globals.report_count = value,
            0x84 if within => return None,
            0xA4 => {
                *pushed.get_mut(pushes)? = globals;
                pushes += 1;
            }
            0xB4 => {
                pushes = pushes.checked_sub(1)?;
                globals = *pushed.get(pushes)?;
            }
            // Usage: the first one counts for a collection; four bytes bear their own page.
            0x08 if usage.is_none() => {
                usage = Some(if data.len() == 4 {
                    (value >> 16, value & 0xFFFF)
                } else {
                    (globals.page, value)
                });
            }
            // Main items end the scope of local ones.
            0xA0 => {
                if depth == 0 {
                    within = value == APPLICATION && usage == Some((FIDO_PAGE, FIDO_USAGE));
                    (input, output) = (0, 0);
                }
                depth += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
                usage = None;
            }
            0xC0 => {
                depth = depth.checked_sub(1)?;
                if depth == 0 && within {
                    return whole(input, output);
                }
                usage = None;
            }
            0x80 | 0x90 => {
                let bits = globals.report_size.saturating_mul(globals.report_count);
                let sum = if head & 0xFC == 0x80 {
                    &mut input
                } else {
                    &mut output
                };
                *sum = sum.saturating_add(bits);
                usage = None;
            }
            0xB0 => usage = None,
            _ => {}
        }
    }
    None
}

/// Bytes of both reports, if they are alike and can carry CTAPHID.
fn whole(input: u32, output: u32) -> Option<usize> {
    let bytes = usize::try_from(input / 8).ok()?;
    (input == output
        && input.is_multiple_of(8)
        && (8..=sceau_ctap::port::MAX_REPORT).contains(&bytes))
    .then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTAP 2.2 §11.2.8.2, the specification's own example.
    const FIDO: &[u8] = &[
        0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75,
        0x08, 0x95, 0x40, 0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95,
        0x40, 0x91, 0x02, 0xc0,
    ];
    /// A boot keyboard (HID 1.11 appendix E.6).
    const KEYBOARD: &[u8] = &[
        0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25,
        0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05,
        0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91,
        0x01, 0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65,
        0x81, 0x00, 0xc0,
    ];

    fn with(at: usize, byte: u8) -> Vec<u8> {
        let mut changed = FIDO.to_vec();
        changed[at] = byte;
        changed
    }

    #[test]
    fn knows_the_fido_usage_and_its_report_size() {
        assert_eq!(fido_report_size(FIDO), Some(64));
        assert_eq!(fido_report_size(KEYBOARD), None);
        assert_eq!(fido_report_size(&[KEYBOARD, FIDO].concat()), Some(64));
        // The usage with its page in one item of four bytes.
        let extended = [&[0x0b, 0x01, 0x00, 0xd0, 0xf1, 0xa1, 0x01][..], &FIDO[7..]].concat();
        assert_eq!(fido_report_size(&extended), Some(64));
        // A long item before it is skipped.
        assert_eq!(
            fido_report_size(&[&[0xfe, 2, 0xf0, 1, 2][..], FIDO].concat()),
            Some(64)
        );
    }

    #[test]
    fn other_usages_pages_and_kinds_of_collection_are_not_fido() {
        for (at, byte) in [(1, 0xd1), (2, 0xf2), (4, 0x02), (6, 0x00)] {
            assert_eq!(fido_report_size(&with(at, byte)), None, "{at}");
        }
    }

    #[test]
    fn reports_that_cannot_carry_the_protocol_are_refused() {
        let both = |count| {
            let mut changed = with(17, count);
            changed[30] = count;
            fido_report_size(&changed)
        };
        assert_eq!(both(8), Some(8));
        assert_eq!(both(7), None);
        assert_eq!(both(65), None);
        assert_eq!(both(0), None);
        assert_eq!(fido_report_size(&with(17, 32)), None, "uneven");
        let mut numbered = FIDO.to_vec();
        numbered.splice(7..7, [0x85, 0x01]);
        assert_eq!(fido_report_size(&numbered), None);
        let huge = [
            &FIDO[..7],
            &[
                0x77, 0xff, 0xff, 0xff, 0xff, 0x97, 0xff, 0xff, 0xff, 0xff, 0x81, 2, 0x91, 2, 0xc0,
            ],
        ]
        .concat();
        assert_eq!(fido_report_size(&huge), None);
    }

    #[test]
    fn broken_descriptors_end_in_a_refusal() {
        for end in 0..FIDO.len() {
            assert_eq!(fido_report_size(&FIDO[..end]), None, "{end}");
        }
        assert_eq!(fido_report_size(&[0xa4; 9]), None);
        assert_eq!(fido_report_size(&[0xb4]), None);
        assert_eq!(fido_report_size(&[0xc0]), None);
        assert_eq!(fido_report_size(&[0xa1, 1].repeat(100)), None);
        assert_eq!(fido_report_size(&[0xfe]), None);
        assert_eq!(fido_report_size(&[0xfe, 9, 0, 1]), None);
        assert_eq!(fido_report_size(&vec![0; MAX_DESCRIPTOR + 1]), None);
    }

    /// Mutations of honest descriptors by a fixed sequence: never a panic, and never a size outside the protocol's.
    #[test]
    fn mutated_descriptors_never_panic_nor_give_an_impossible_size() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut dice = move |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % limit as u64).unwrap()
        };
        let mut fido = 0;
        for round in 0..200_000 {
            let mut bytes = if round % 2 == 0 { FIDO } else { KEYBOARD }.to_vec();
            for _ in 0..=dice(4) {
                let at = dice(bytes.len());
                match dice(4) {
                    0 => bytes[at] = u8::try_from(dice(256)).unwrap(),
                    1 => bytes[at] ^= 1 << dice(8),
                    2 => bytes.insert(at, u8::try_from(dice(256)).unwrap()),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            if let Some(size) = fido_report_size(&bytes) {
                assert!((8..=64).contains(&size));
                fido += 1;
            }
        }
        assert!(
            fido > 1000,
            "the mutations are too wild to mean anything: {fido}"
        );
    }
}
