//! A bounded CBOR reader (RFC 8949) for what authenticators sign and send: attestation objects, COSE keys, extension outputs.
//!
//! Trusts nothing. Size, depth and number of items have budgets; claimed lengths never cause an allocation; duplicate map keys, reserved
//! encodings and trailing bytes are refused. Text and byte strings borrow from the input, and [`parse_prefix`] tells which bytes a value came
//! from, so that signed bytes stay verbatim beside the view of them. Whether the bytes are in CTAP2 canonical order is deliberately not asked:
//! genuine authenticators differ, and no signature depends on it. Writing CBOR is `sceau-ctap`'s.

use std::borrow::Cow;

use minicbor::data::Type;
use minicbor::decode::Decoder;

/// What a reader tolerates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of the whole value.
    pub length: usize,
    /// Nested arrays, maps and tags.
    pub depth: u8,
    /// Items in total, keys and values each counting one.
    pub items: usize,
    /// Whether indefinite lengths are read (CTAP2 forbids them; some relying-party test data has them).
    pub indefinite: bool,
}

impl Rules {
    /// For what a verifier reads: 64 KiB, 16 levels, 1024 items, definite lengths only.
    pub const STRICT: Rules = Rules {
        length: 65_536,
        depth: 16,
        items: 1024,
        indefinite: false,
    };
    /// The same budgets, indefinite lengths read.
    pub const TOLERANT: Rules = Rules {
        indefinite: true,
        ..Rules::STRICT
    };
}

/// Why bytes are not an acceptable CBOR value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CborError {
    /// More bytes than the budget.
    #[error("CBOR value is too long")]
    TooLong,
    /// Nested deeper than the budget.
    #[error("CBOR value is nested too deeply")]
    TooDeep,
    /// More items than the budget.
    #[error("CBOR value has too many items")]
    TooManyItems,
    /// The input ends inside the value, or a length claims more than there is.
    #[error("CBOR value is truncated")]
    Truncated,
    /// Bytes after the value.
    #[error("bytes follow the CBOR value")]
    TrailingBytes,
    /// A map has the same key twice.
    #[error("CBOR map has a duplicate key")]
    DuplicateKey,
    /// A map key that is neither an integer nor a string.
    #[error("CBOR map key is neither integer nor string")]
    UnsupportedKey,
    /// An indefinite length where the rules forbid it.
    #[error("CBOR value has an indefinite length")]
    IndefiniteLength,
    /// A text string that is not UTF-8.
    #[error("CBOR text is not UTF-8")]
    InvalidUtf8,
    /// Reserved or ill-formed encoding.
    #[error("ill-formed CBOR")]
    IllFormed,
}

/// A CBOR data item. Not trusted.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'b> {
    /// Major types 0 and 1 (−2⁶⁴ to 2⁶⁴−1).
    Integer(i128),
    /// A byte string.
    Bytes(Cow<'b, [u8]>),
    /// A text string.
    Text(Cow<'b, str>),
    /// An array.
    Array(Vec<Value<'b>>),
    /// A map without duplicate keys.
    Map(Map<'b>),
    /// A tagged item.
    Tag(u64, Box<Value<'b>>),
    /// True or false.
    Bool(bool),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// Another simple value.
    Simple(u8),
    /// A floating-point number.
    Float(f64),
}

/// A map, in the order of the input; keys are integers or strings and unique.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map<'b>(Vec<(Value<'b>, Value<'b>)>);

impl<'b> Map<'b> {
    /// The value under an integer key.
    #[must_use]
    pub fn int(&self, key: i64) -> Option<&Value<'b>> {
        let key = i128::from(key);
        self.0
            .iter()
            .find(|(k, _)| matches!(k, Value::Integer(i) if *i == key))
            .map(|(_, v)| v)
    }

    /// The value under a text key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&Value<'b>> {
        self.0
            .iter()
            .find(|(k, _)| matches!(k, Value::Text(t) if t == key))
            .map(|(_, v)| v)
    }

    /// All pairs, in the order of the input.
    pub fn iter(&self) -> impl Iterator<Item = (&Value<'b>, &Value<'b>)> {
        self.0.iter().map(|(k, v)| (k, v))
    }

    /// How many pairs.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'b> Value<'b> {
    /// The integer, when it is one and fits 64 bits with sign.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Integer(i) => i64::try_from(*i).ok(),
            _ => None,
        }
    }

    /// The bytes of a byte string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// The bytes of a byte string, taken out; borrowed from the input unless it came in chunks.
    #[must_use]
    pub fn into_bytes(self) -> Option<Cow<'b, [u8]>> {
        match self {
            Value::Bytes(b) => Some(b),
            _ => None,
        }
    }

    /// The text of a text string.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'b>]> {
        match self {
            Value::Array(a) => Some(a),
            _ => None,
        }
    }

    /// The map.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map<'b>> {
        match self {
            Value::Map(m) => Some(m),
            _ => None,
        }
    }

    /// The truth value.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }
}

/// Reads one value that is the whole of `bytes`.
pub fn parse(bytes: &[u8], rules: Rules) -> Result<Value<'_>, CborError> {
    let (value, _, rest) = parse_prefix(bytes, rules)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CborError::TrailingBytes)
    }
}

/// Reads one value from the start of `bytes`: the value, the bytes that it was read from, and the bytes after it.
pub fn parse_prefix(bytes: &[u8], rules: Rules) -> Result<(Value<'_>, &[u8], &[u8]), CborError> {
    if bytes.len() > rules.length {
        return Err(CborError::TooLong);
    }
    let mut reader = Reader {
        decoder: Decoder::new(bytes),
        indefinite: rules.indefinite,
        items: rules.items,
    };
    let value = reader.value(rules.depth)?;
    let (read, rest) = bytes
        .split_at_checked(reader.decoder.position())
        .ok_or(CborError::Truncated)?;
    Ok((value, read, rest))
}

struct Reader<'b> {
    decoder: Decoder<'b>,
    indefinite: bool,
    items: usize,
}

impl<'b> Reader<'b> {
    fn value(&mut self, depth: u8) -> Result<Value<'b>, CborError> {
        self.items = self.items.checked_sub(1).ok_or(CborError::TooManyItems)?;
        let d = &mut self.decoder;
        Ok(match d.datatype().map_err(fault)? {
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => Value::Integer(i128::from(d.int().map_err(fault)?)),
            Type::Bytes => Value::Bytes(Cow::Borrowed(d.bytes().map_err(fault)?)),
            Type::String => Value::Text(Cow::Borrowed(d.str().map_err(fault)?)),
            Type::BytesIndef | Type::StringIndef | Type::ArrayIndef | Type::MapIndef
                if !self.indefinite =>
            {
                return Err(CborError::IndefiniteLength);
            }
            Type::BytesIndef => self.byte_chunks()?,
            Type::StringIndef => self.text_chunks()?,
            Type::Array | Type::ArrayIndef => self.array(deeper(depth)?)?,
            Type::Map | Type::MapIndef => self.map(deeper(depth)?)?,
            Type::Tag => {
                let tag = d.tag().map_err(fault)?.as_u64();
                Value::Tag(tag, Box::new(self.value(deeper(depth)?)?))
            }
            Type::Bool => Value::Bool(d.bool().map_err(fault)?),
            Type::Null => {
                d.null().map_err(fault)?;
                Value::Null
            }
            Type::Undefined => {
                d.undefined().map_err(fault)?;
                Value::Undefined
            }
            Type::Simple => Value::Simple(d.simple().map_err(fault)?),
            Type::F16 => self.half()?,
            Type::F32 => Value::Float(f64::from(d.f32().map_err(fault)?)),
            Type::F64 => Value::Float(d.f64().map_err(fault)?),
            Type::Break | Type::Unknown(_) => return Err(CborError::IllFormed),
        })
    }

    fn array(&mut self, depth: u8) -> Result<Value<'b>, CborError> {
        let mut items = Vec::new();
        let length = self.decoder.array().map_err(fault)?;
        self.plausible(length)?;
        while !self.ended(length, items.len())? {
            items.push(self.value(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, depth: u8) -> Result<Value<'b>, CborError> {
        let mut pairs: Vec<(Value<'b>, Value<'b>)> = Vec::new();
        let length = self.decoder.map().map_err(fault)?;
        self.plausible(length)?;
        while !self.ended(length, pairs.len())? {
            let key = self.value(depth)?;
            if !matches!(key, Value::Integer(_) | Value::Text(_) | Value::Bytes(_)) {
                return Err(CborError::UnsupportedKey);
            }
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(CborError::DuplicateKey);
            }
            let value = self.value(depth)?;
            pairs.push((key, value));
        }
        Ok(Value::Map(Map(pairs)))
    }

    /// An item takes at least a byte: a count beyond what is left is refused before anything is read.
    fn plausible(&self, count: Option<u64>) -> Result<(), CborError> {
        let left = self
            .decoder
            .input()
            .len()
            .saturating_sub(self.decoder.position());
        match count {
            Some(count) if count > left as u64 => Err(CborError::Truncated),
            _ => Ok(()),
        }
    }

    fn ended(&mut self, length: Option<u64>, read: usize) -> Result<bool, CborError> {
        match length {
            Some(length) => Ok(read as u64 >= length),
            None => self.take_break(),
        }
    }

    fn take_break(&mut self) -> Result<bool, CborError> {
        if self.decoder.datatype().map_err(fault)? != Type::Break {
            return Ok(false);
        }
        self.decoder
            .set_position(self.decoder.position().saturating_add(1));
        Ok(true)
    }

    /// RFC 8949 appendix D.
    fn half(&mut self) -> Result<Value<'b>, CborError> {
        let start = self.decoder.position();
        let rest = self.decoder.input().get(start..).unwrap_or_default();
        let Some([_, high, low]) = rest.first_chunk::<3>() else {
            return Err(CborError::Truncated);
        };
        self.decoder.set_position(start.saturating_add(3));
        let bits = u16::from_be_bytes([*high, *low]);
        let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
        let magnitude = match exponent {
            0 => mantissa * 2f64.powi(-24),
            31 if mantissa == 0.0 => f64::INFINITY,
            31 => f64::NAN,
            _ => (mantissa + 1024.0) * 2f64.powi(exponent.saturating_sub(25)),
        };
        Ok(Value::Float(if bits & 0x8000 == 0 {
            magnitude
        } else {
            -magnitude
        }))
    }

    fn byte_chunks(&mut self) -> Result<Value<'b>, CborError> {
        let mut whole = Vec::new();
        for chunk in self.decoder.bytes_iter().map_err(fault)? {
            whole.extend_from_slice(chunk.map_err(fault)?);
        }
        Ok(Value::Bytes(Cow::Owned(whole)))
    }

    fn text_chunks(&mut self) -> Result<Value<'b>, CborError> {
        let mut whole = String::new();
        for chunk in self.decoder.str_iter().map_err(fault)? {
            whole.push_str(chunk.map_err(fault)?);
        }
        Ok(Value::Text(Cow::Owned(whole)))
    }
}

fn deeper(depth: u8) -> Result<u8, CborError> {
    depth.checked_sub(1).ok_or(CborError::TooDeep)
}

fn fault(error: minicbor::decode::Error) -> CborError {
    use std::error::Error as _;
    if error.is_end_of_input() {
        CborError::Truncated
    } else if error
        .source()
        .is_some_and(|s| s.is::<std::str::Utf8Error>())
    {
        CborError::InvalidUtf8
    } else {
        CborError::IllFormed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(hex: &str) -> CborError {
        let bytes = hex::decode(hex).unwrap();
        parse(&bytes, Rules::STRICT).unwrap_err()
    }

    #[test]
    fn reads_nested_values_borrowing_strings() {
        let bytes = hex::decode("a36161012042beef63666f6f82f5f6").unwrap();
        let value = parse(&bytes, Rules::STRICT).unwrap();
        let map = value.as_map().unwrap();
        assert_eq!(map.len(), 3);
        assert_eq!(map.text("a").unwrap().as_int(), Some(1));
        assert_eq!(
            map.int(-1).unwrap(),
            &Value::Bytes(Cow::Borrowed(&[0xbe, 0xef]))
        );
        assert_eq!(
            map.text("foo").unwrap().as_array(),
            Some(&[Value::Bool(true), Value::Null][..])
        );
        assert_eq!(map.text("bar"), None);
    }

    #[test]
    fn tells_which_bytes_a_value_came_from() {
        let bytes = hex::decode("8201f4ffee").unwrap();
        let (value, read, rest) = parse_prefix(&bytes, Rules::STRICT).unwrap();
        assert_eq!(
            value,
            Value::Array(vec![Value::Integer(1), Value::Bool(false)])
        );
        assert_eq!(
            (hex::encode(read), hex::encode(rest)),
            ("8201f4".into(), "ffee".into())
        );
    }

    #[test]
    fn reads_half_precision() {
        for (hex, value) in [
            ("f93c00", 1.0),
            ("f9c400", -4.0),
            ("f90001", 5.960_464_477_539_063e-8),
            ("f97bff", 65504.0),
            ("f9fc00", f64::NEG_INFINITY),
        ] {
            assert_eq!(
                parse(&hex::decode(hex).unwrap(), Rules::STRICT),
                Ok(Value::Float(value)),
                "{hex}"
            );
        }
        assert_eq!(refused("f93c"), CborError::Truncated);
    }

    #[test]
    fn refuses_by_name() {
        assert_eq!(refused(""), CborError::Truncated);
        assert_eq!(refused("8201"), CborError::Truncated);
        assert_eq!(refused("9b7fffffffffffffff"), CborError::Truncated);
        assert_eq!(refused("5b7fffffffffffffff"), CborError::Truncated);
        assert_eq!(refused("0000"), CborError::TrailingBytes);
        assert_eq!(refused("a201000100"), CborError::DuplicateKey);
        assert_eq!(refused("a2010018010000"), CborError::DuplicateKey);
        assert_eq!(refused("a1f400"), CborError::UnsupportedKey);
        assert_eq!(refused("9f01ff"), CborError::IndefiniteLength);
        assert_eq!(refused("5f4101ff"), CborError::IndefiniteLength);
        assert_eq!(refused("62c328"), CborError::InvalidUtf8);
        assert_eq!(refused("1c"), CborError::IllFormed);
        assert_eq!(refused("ff"), CborError::IllFormed);
        assert_eq!(
            refused(&format!("{}00", "81".repeat(17))),
            CborError::TooDeep
        );
        assert_eq!(
            refused(&format!("{}00", "81".repeat(5000))),
            CborError::TooDeep
        );
        assert_eq!(
            refused(&format!("990401{}", "00".repeat(1025))),
            CborError::TooManyItems
        );
        assert_eq!(parse(&[0; 65_537], Rules::STRICT), Err(CborError::TooLong));
    }

    #[test]
    fn tolerant_rules_read_indefinite_lengths() {
        let bytes = hex::decode("bf61619f0102ff61625f41014102ff61637f61786179ffff").unwrap();
        let value = parse(&bytes, Rules::TOLERANT).unwrap();
        let map = value.as_map().unwrap();
        assert_eq!(map.text("a").unwrap().as_array().unwrap().len(), 2);
        assert_eq!(map.text("b").unwrap().as_bytes(), Some(&[1, 2][..]));
        assert_eq!(map.text("c").unwrap().as_text(), Some("xy"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_consumes_within_the_input(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            for rules in [Rules::STRICT, Rules::TOLERANT] {
                if let Ok((_, read, rest)) = parse_prefix(&bytes, rules) {
                    proptest::prop_assert_eq!([read, rest].concat(), bytes.clone());
                }
            }
        }
    }
}
