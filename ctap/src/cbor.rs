//! The CBOR that CTAP2 speaks (CTAP 2.2 §8, "message encoding"): a bounded reader for what authenticators say, and a canonical writer.
//!
//! Hostile input is normal here: depth, items and members are bounded, nothing is allocated by a claimed length, and
//! indefinite lengths, non-minimal heads, tags, floats, duplicate keys and trailing bytes are refused. Members out of canonical order are
//! tolerated in replies, because keys in the field send them; [`is_canonical`] is the strict form, which our own messages must pass.
//! A general decoder is not used since it reports neither non-minimal heads nor duplicates; tests compare with one.

/// Deepest nesting accepted. CTAP2 allows 4; attestation statements embedded in replies need one more.
pub const MAX_DEPTH: usize = 8;
/// Most items in one message.
pub const MAX_ITEMS: usize = 2048;
/// Most members in one map.
pub const MAX_MEMBERS: usize = 128;

/// Why bytes are not acceptable CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// The bytes end inside an item.
    #[error("truncated CBOR")]
    Truncated,
    /// Bytes follow the item.
    #[error("bytes after the CBOR item")]
    Trailing,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("CBOR nested too deeply")]
    Depth,
    /// More items or members than the bounds.
    #[error("too many CBOR items")]
    TooMany,
    /// A map names a key twice.
    #[error("a CBOR key appears twice")]
    DuplicateKey,
    /// An indefinite length, or a number in more bytes than it needs.
    #[error("CBOR not in its shortest form")]
    NotMinimal,
    /// A tag, float, reserved simple value or reserved head.
    #[error("a CBOR type that CTAP2 does not use")]
    Type,
    /// A text string that is not UTF-8.
    #[error("a CBOR text is not UTF-8")]
    Utf8,
}

/// One item with the exact bytes that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'b> {
    /// The item's own encoding, verbatim.
    pub raw: &'b [u8],
    /// What it says.
    pub value: Value<'b>,
}

/// What an item says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'b> {
    /// An unsigned integer.
    Unsigned(u64),
    /// The negative integer −1 − n.
    Negative(u64),
    /// A byte string.
    Bytes(&'b [u8]),
    /// A text string.
    Text(&'b str),
    /// An array.
    Array(Vec<Item<'b>>),
    /// A map, members in the order received, keys distinct.
    Map(Vec<(Item<'b>, Item<'b>)>),
    /// A boolean.
    Bool(bool),
    /// Null or undefined.
    Null,
}

/// Reads exactly one item from all of `bytes`.
pub fn read(bytes: &[u8]) -> Result<Item<'_>, CborError> {
    let (item, rest) = read_prefix(bytes)?;
    if rest.is_empty() {
        Ok(item)
    } else {
        Err(CborError::Trailing)
    }
}

/// Reads one item from the front of `bytes` and returns what follows it.
pub fn read_prefix(bytes: &[u8]) -> Result<(Item<'_>, &[u8]), CborError> {
    let mut reader = Reader {
        rest: bytes,
        items: 0,
    };
    let item = reader.item(0)?;
    Ok((item, reader.rest))
}

/// Whether `bytes` is one item in CTAP2 canonical form, members sorted.
#[must_use]
pub fn is_canonical(bytes: &[u8]) -> bool {
    read(bytes).is_ok_and(|item| sorted(&item))
}

fn sorted(item: &Item<'_>) -> bool {
    match &item.value {
        Value::Array(items) => items.iter().all(sorted),
        Value::Map(members) => {
            // Major type first, then length, then bytes (§8).
            let order = |key: &Item<'_>| {
                (
                    key.raw.first().map(|head| head >> 5),
                    key.raw.len(),
                    key.raw.to_vec(),
                )
            };
            members
                .iter()
                .all(|(key, value)| sorted(key) && sorted(value))
                && members.windows(2).all(|pair| match pair {
                    [(first, _), (second, _)] => order(first) < order(second),
                    _ => true,
                })
        }
        _ => true,
    }
}

impl<'b> Item<'b> {
    /// The integer, when it is one that fits.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self.value {
            Value::Unsigned(n) => i64::try_from(n).ok(),
            Value::Negative(n) => i64::try_from(n).ok().and_then(|n| (-1_i64).checked_sub(n)),
            _ => None,
        }
    }

    /// The unsigned integer.
    #[must_use]
    pub fn unsigned(&self) -> Option<u64> {
        match self.value {
            Value::Unsigned(n) => Some(n),
            _ => None,
        }
    }

    /// The byte string.
    #[must_use]
    pub fn bytes(&self) -> Option<&'b [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text string.
    #[must_use]
    pub fn text(&self) -> Option<&'b str> {
        match self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The array's items.
    #[must_use]
    pub fn array(&self) -> Option<&[Item<'b>]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The map's members.
    #[must_use]
    pub fn map(&self) -> Option<&[(Item<'b>, Item<'b>)]> {
        match &self.value {
            Value::Map(members) => Some(members),
            _ => None,
        }
    }

    /// The member with integer key `key`, when this is a map that has it.
    #[must_use]
    pub fn at(&self, key: i64) -> Option<&Item<'b>> {
        self.map()?
            .iter()
            .find(|(name, _)| name.integer() == Some(key))
            .map(|(_, value)| value)
    }

    /// The member with text key `key`, when this is a map that has it.
    #[must_use]
    pub fn named(&self, key: &str) -> Option<&Item<'b>> {
        self.map()?
            .iter()
            .find(|(name, _)| name.text() == Some(key))
            .map(|(_, value)| value)
    }
}

struct Reader<'b> {
    rest: &'b [u8],
    items: usize,
}

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], CborError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Major type and argument; the argument must be in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let (&first, rest) = self.rest.split_first().ok_or(CborError::Truncated)?;
        self.rest = rest;
        let (major, info) = (first >> 5, first & 0x1f);
        let (width, least) = match info {
            0..=23 => return Ok((major, u64::from(info))),
            // A one-byte simple value below 32 is reserved, so the head is never the shortest form of anything that we accept.
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 => return Err(CborError::NotMinimal),
            _ => return Err(CborError::Type),
        };
        if major == 7 {
            return Err(CborError::Type);
        }
        let argument = self
            .take(width)?
            .iter()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        if argument < least {
            Err(CborError::NotMinimal)
        } else {
            Ok((major, argument))
        }
    }

    fn string(&mut self, length: u64) -> Result<&'b [u8], CborError> {
        self.take(usize::try_from(length).map_err(|_| CborError::Truncated)?)
    }

    fn item(&mut self, depth: usize) -> Result<Item<'b>, CborError> {
        if depth > MAX_DEPTH {
            return Err(CborError::Depth);
        }
        self.items = self.items.saturating_add(1);
        if self.items > MAX_ITEMS {
            return Err(CborError::TooMany);
        }
        let start = self.rest;
        let (major, argument) = self.head()?;
        let value = match major {
            0 => Value::Unsigned(argument),
            1 => Value::Negative(argument),
            2 => Value::Bytes(self.string(argument)?),
            3 => Value::Text(
                std::str::from_utf8(self.string(argument)?).map_err(|_| CborError::Utf8)?,
            ),
            4 => Value::Array(self.array(argument, depth.saturating_add(1))?),
            5 => Value::Map(self.map(argument, depth.saturating_add(1))?),
            7 => match argument {
                20 => Value::Bool(false),
                21 => Value::Bool(true),
                22 | 23 => Value::Null,
                _ => return Err(CborError::Type),
            },
            _ => return Err(CborError::Type),
        };
        let raw = start
            .get(..start.len().saturating_sub(self.rest.len()))
            .unwrap_or_default();
        Ok(Item { raw, value })
    }

    fn array(&mut self, length: u64, depth: usize) -> Result<Vec<Item<'b>>, CborError> {
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.item(depth)?);
        }
        Ok(items)
    }

    fn map(&mut self, length: u64, depth: usize) -> Result<Vec<(Item<'b>, Item<'b>)>, CborError> {
        if length > MAX_MEMBERS as u64 {
            return Err(CborError::TooMany);
        }
        let mut members: Vec<(Item<'b>, Item<'b>)> = Vec::new();
        for _ in 0..length {
            let key = self.item(depth)?;
            // Heads are minimal, so equal keys have equal bytes.
            if members.iter().any(|(earlier, _)| earlier.raw == key.raw) {
                return Err(CborError::DuplicateKey);
            }
            members.push((key, self.item(depth)?));
        }
        Ok(members)
    }
}

/// Writes minimal heads. The caller writes members in canonical order.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let head = major << 5;
        let bytes = argument.to_be_bytes();
        let [.., b4, b5, b6, b7] = bytes;
        match argument {
            0..=23 => self.0.push(head | b7),
            24..=0xff => self.0.extend_from_slice(&[head | 24, b7]),
            0x100..=0xffff => self.0.extend_from_slice(&[head | 25, b6, b7]),
            0x1_0000..=0xffff_ffff => self.0.extend_from_slice(&[head | 26, b4, b5, b6, b7]),
            _ => {
                self.0.push(head | 27);
                self.0.extend_from_slice(&bytes);
            }
        }
        self
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// An integer.
    pub fn integer(&mut self, value: i64) -> &mut Self {
        // −1 − n is the bitwise complement of n.
        if value < 0 {
            self.head(1, (!value).unsigned_abs())
        } else {
            self.head(0, value.unsigned_abs())
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len() as u64);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.0.push(if value { 0xf5 } else { 0xf4 });
        self
    }

    /// The head of an array of `length` items, which the caller writes next.
    pub fn array(&mut self, length: usize) -> &mut Self {
        self.head(4, length as u64)
    }

    /// The head of a map of `length` members, which the caller writes next.
    pub fn map(&mut self, length: usize) -> &mut Self {
        self.head(5, length as u64)
    }

    /// One item that is encoded already, verbatim.
    pub fn raw(&mut self, item: &[u8]) -> &mut Self {
        self.0.extend_from_slice(item);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(hex_text: &str) -> CborError {
        read(&hex::decode(hex_text).unwrap()).unwrap_err()
    }

    #[test]
    fn refuses_each_fault_by_its_own_name() {
        assert_eq!(error(""), CborError::Truncated);
        assert_eq!(error("a1"), CborError::Truncated);
        assert_eq!(
            error("5b7fffffffffffffff"),
            CborError::Truncated,
            "a claimed length is not allocated"
        );
        assert_eq!(error("9b7fffffffffffffff"), CborError::Truncated);
        assert_eq!(error("bb7fffffffffffffff"), CborError::TooMany);
        assert_eq!(error("0000"), CborError::Trailing);
        assert_eq!(error("81818181818181818100"), CborError::Depth);
        assert_eq!(error("a201000100"), CborError::DuplicateKey);
        assert_eq!(error("1801"), CborError::NotMinimal);
        assert_eq!(error("5f41004100ff"), CborError::NotMinimal);
        assert_eq!(error("bf0100ff"), CborError::NotMinimal);
        assert_eq!(error("f93c00"), CborError::Type, "floats");
        assert_eq!(error("c000"), CborError::Type, "tags");
        assert_eq!(error("e0"), CborError::Type);
        assert_eq!(error("1c"), CborError::Type);
        assert_eq!(error("62c328"), CborError::Utf8);
    }

    #[test]
    fn bounds_items_and_members() {
        let mut many = Writer::new();
        many.array(MAX_ITEMS);
        for _ in 0..MAX_ITEMS {
            many.unsigned(0);
        }
        assert_eq!(read(&many.into_bytes()).unwrap_err(), CborError::TooMany);
        let mut wide = Writer::new();
        wide.map(MAX_MEMBERS + 1);
        for n in 0..=MAX_MEMBERS as u64 {
            wide.unsigned(n).unsigned(0);
        }
        assert_eq!(read(&wide.into_bytes()).unwrap_err(), CborError::TooMany);
    }

    #[test]
    fn keeps_the_bytes_of_each_item() {
        let bytes = hex::decode("a2016161028101").unwrap();
        let item = read(&bytes).unwrap();
        assert_eq!(item.raw, bytes);
        assert_eq!(item.at(2).unwrap().raw, [0x81, 0x01]);
        assert_eq!(item.at(1).unwrap().text(), Some("a"));
    }

    #[test]
    fn tolerates_members_out_of_order_but_knows_it() {
        assert!(read(&[0xa2, 2, 0, 1, 0]).is_ok());
        assert!(!is_canonical(&[0xa2, 2, 0, 1, 0]));
        assert!(is_canonical(&[0xa2, 1, 0, 2, 0]));
        assert!(
            is_canonical(&[0xa2, 1, 0, 0x20, 0]),
            "unsigned keys come before negative ones"
        );
        assert!(!is_canonical(&[0xa2, 0x20, 0, 1, 0]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_canonical(value in any::<i64>(), bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,40}") {
            let mut writer = Writer::new();
            writer.map(3).unsigned(1).integer(value).unsigned(2).bytes(&bytes).text("t").text(&text);
            let written = writer.into_bytes();
            prop_assert!(is_canonical(&written));
            let item = read(&written).unwrap();
            prop_assert_eq!(item.at(1).unwrap().integer(), Some(value));
            prop_assert_eq!(item.at(2).unwrap().bytes(), Some(bytes.as_slice()));
            prop_assert_eq!(item.named("t").unwrap().text(), Some(text.as_str()));
        }

        #[test]
        fn what_we_accept_an_independent_decoder_accepts_as_long(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((item, rest)) = read_prefix(&bytes) {
                let mut peer = minicbor::Decoder::new(&bytes);
                peer.skip().unwrap();
                prop_assert_eq!(peer.position(), item.raw.len());
                prop_assert_eq!(peer.position() + rest.len(), bytes.len());
            }
        }
    }
}
