//! JSON read strictly: one reading for everyone (RFC 8259 §4, RFC 7493).
//!
//! Two parsers that disagree about a document let an attacker have one thing approved and another executed, so what parsers are known to disagree
//! about is refused by name: duplicate members, and, where asked, numbers that are not exact integers within ±2⁵³ and strings that are not in
//! Unicode normal form C. Size and depth have budgets. Trusts nothing. What a document means is its reader's.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess};
use serde_json::{Map, Number, Value};
use unicode_normalization::is_nfc;

/// The largest magnitude of an integer that every JSON reader has exactly: 2⁵³.
pub const MAX_INTEGER: u64 = 1 << 53;

/// What a reader asks of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of the document.
    pub length: usize,
    /// Nested arrays and objects; at most 100.
    pub depth: u8,
    /// Numbers must be integers within ±2⁵³, written without fraction or exponent.
    pub integers: bool,
    /// Strings and member names must be in Unicode normal form C.
    pub nfc: bool,
}

/// Why bytes are not an acceptable document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// More bytes than the budget.
    #[error("document is too large")]
    TooLarge,
    /// Not UTF-8.
    #[error("document is not UTF-8")]
    InvalidUtf8,
    /// Not one JSON value.
    #[error("document is not JSON")]
    NotJson,
    /// Nested deeper than the budget.
    #[error("document is nested too deeply")]
    TooDeep,
    /// An object has a member twice.
    #[error("an object has a duplicate member")]
    DuplicateMember,
    /// A string or member name is not in Unicode normal form C.
    #[error("a string is not in Unicode normal form C")]
    NotNfc,
    /// A number with a fraction or an exponent, or minus zero.
    #[error("a number is not an integer")]
    NotAnInteger,
    /// An integer beyond ±2⁵³.
    #[error("an integer is beyond ±2^53")]
    IntegerOutOfRange,
}

/// Reads one value that is the whole of `bytes`.
pub fn parse(bytes: &[u8], rules: Rules) -> Result<Value, JsonError> {
    if bytes.len() > rules.length {
        return Err(JsonError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| JsonError::InvalidUtf8)?;
    let fault = Cell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Seed {
        rules,
        depth: rules.depth.min(100),
        fault: &fault,
    }
    .deserialize(&mut json);
    match (value, fault.get()) {
        (_, Some(fault)) => Err(fault),
        (Ok(value), None) if json.end().is_ok() => Ok(value),
        _ => Err(JsonError::NotJson),
    }
}

#[derive(Clone, Copy)]
struct Seed<'f> {
    rules: Rules,
    depth: u8,
    fault: &'f Cell<Option<JsonError>>,
}

impl Seed<'_> {
    fn fail<E: de::Error>(self, fault: JsonError) -> E {
        self.fault.set(Some(fault));
        E::custom(fault)
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Seed { depth, ..self }),
            None => Err(self.fail(JsonError::TooDeep)),
        }
    }

    fn text<E: de::Error>(self, text: &str) -> Result<String, E> {
        if self.rules.nfc && !is_nfc(text) {
            return Err(self.fail(JsonError::NotNfc));
        }
        Ok(text.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> de::Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.text(text).map(Value::String)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if self.rules.integers && value > MAX_INTEGER {
            return Err(self.fail(JsonError::IntegerOutOfRange));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if self.rules.integers && value.unsigned_abs() > MAX_INTEGER {
            return Err(self.fail(JsonError::IntegerOutOfRange));
        }
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        if self.rules.integers {
            // An integer literal too large for 64 bits also arrives here.
            let huge = value.abs() > MAX_INTEGER as f64;
            return Err(self.fail(if huge {
                JsonError::IntegerOutOfRange
            } else {
                JsonError::NotAnInteger
            }));
        }
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| self.fail(JsonError::NotJson))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(seed)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key_seed(Name(self))? {
            if object.contains_key(&name) {
                return Err(self.fail(JsonError::DuplicateMember));
            }
            object.insert(name, members.next_value_seed(seed)?);
        }
        Ok(Value::Object(object))
    }
}

struct Name<'f>(Seed<'f>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl de::Visitor<'_> for Name<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        self.0.text(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const STRICT: Rules = Rules {
        length: 4096,
        depth: 4,
        integers: true,
        nfc: true,
    };
    const PLAIN: Rules = Rules {
        integers: false,
        nfc: false,
        ..STRICT
    };

    #[test]
    fn reads_what_is_unambiguous() {
        let text =
            r#"{"a":[1,-9007199254740992,9007199254740992],"b":{"é":null,"c":"x\ty"},"d":true}"#;
        let value = json!({"a":[1,-9007199254740992i64,9007199254740992u64],"b":{"é":null,"c":"x\ty"},"d":true});
        assert_eq!(parse(text.as_bytes(), STRICT), Ok(value));
    }

    #[test]
    fn refuses_by_name() {
        use JsonError as E;
        for (text, error) in [
            ("", E::NotJson),
            ("{}{}", E::NotJson),
            ("\u{feff}{}", E::NotJson),
            ("{\"a\":1,}", E::NotJson),
            ("[NaN]", E::NotJson),
            ("[01]", E::NotJson),
            ("[\"\\ud800\"]", E::NotJson),
            ("{\"a\":1,\"a\":1}", E::DuplicateMember),
            ("{\"a\":1,\"\\u0061\":2}", E::DuplicateMember),
            ("[{\"b\":{\"a\":1,\"c\":0,\"a\":1}}]", E::DuplicateMember),
            ("[1.0]", E::NotAnInteger),
            ("[1.5]", E::NotAnInteger),
            ("[1e3]", E::NotAnInteger),
            ("[-0]", E::NotAnInteger),
            ("[9007199254740993]", E::IntegerOutOfRange),
            ("[-9007199254740993]", E::IntegerOutOfRange),
            ("[18446744073709551616]", E::IntegerOutOfRange),
            ("[\"e\u{301}\"]", E::NotNfc),
            ("[\"e\\u0301\"]", E::NotNfc),
            ("{\"e\u{301}\":1}", E::NotNfc),
            ("[[[[[1]]]]]", E::TooDeep),
        ] {
            assert_eq!(parse(text.as_bytes(), STRICT), Err(error), "{text}");
        }
        assert_eq!(parse(b"[\"\xff\"]", STRICT), Err(E::InvalidUtf8));
        assert_eq!(parse(&[b' '; 4097], STRICT), Err(E::TooLarge));
        assert_eq!(parse("[".repeat(4000).as_bytes(), STRICT), Err(E::TooDeep));
    }

    #[test]
    fn plain_rules_read_any_number_and_string_but_no_duplicates() {
        assert_eq!(
            parse("[1.5,\"e\u{301}\",1e400]".as_bytes(), PLAIN),
            Err(JsonError::NotJson)
        );
        assert_eq!(
            parse("[1.5,\"e\u{301}\"]".as_bytes(), PLAIN),
            Ok(json!([1.5, "e\u{301}"]))
        );
        assert_eq!(
            parse(b"{\"a\":1,\"a\":1}", PLAIN),
            Err(JsonError::DuplicateMember)
        );
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_wherever_it_accepts(text in "[\\[\\]{}\":,a-c0-9\\-. e\\\\u]{0,40}") {
            if let Ok(value) = parse(text.as_bytes(), STRICT) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }
    }
}
