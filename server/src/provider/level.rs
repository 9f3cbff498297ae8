//! ProConnect's levels (`acr`), and which of them is true: the weakest of identity, authentication and organisation.
//!
//! Pure. What a key proved is the caller's to know; this only never says more. `eidas3` needs a *fresh* gesture, with PIN, on a key that
//! its manufacturer attested and that cannot be copied: an earlier sign-in, whatever made it, stops at `eidas2`.

use serde::{Deserialize, Serialize};

/// A level of the federation's `acr_values_supported`, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Nothing is known of the identity.
    #[serde(rename = "eidas0")]
    Eidas0,
    /// The same, with several factors.
    #[serde(rename = "eidas0-mfa")]
    Eidas0Mfa,
    /// Low.
    #[serde(rename = "eidas1")]
    Eidas1,
    /// Low, with several factors.
    #[serde(rename = "eidas1-mfa")]
    Eidas1Mfa,
    /// Substantial.
    #[serde(rename = "eidas2")]
    Eidas2,
    /// High: hardware and PIN.
    #[serde(rename = "eidas3")]
    Eidas3,
}

/// All of them, weakest first.
pub const LEVELS: [Level; 6] = [
    Level::Eidas0,
    Level::Eidas0Mfa,
    Level::Eidas1,
    Level::Eidas1Mfa,
    Level::Eidas2,
    Level::Eidas3,
];

impl Level {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eidas0 => "eidas0",
            Self::Eidas0Mfa => "eidas0-mfa",
            Self::Eidas1 => "eidas1",
            Self::Eidas1Mfa => "eidas1-mfa",
            Self::Eidas2 => "eidas2",
            Self::Eidas3 => "eidas3",
        }
    }

    /// Reads [`Level::as_str`] back; `None` for every other word (older values, levels of something else).
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        LEVELS.into_iter().find(|level| level.as_str() == word)
    }

    fn parts(self) -> (Grade, bool) {
        match self {
            Self::Eidas0 => (Grade::None, false),
            Self::Eidas0Mfa => (Grade::None, true),
            Self::Eidas1 => (Grade::Low, false),
            Self::Eidas1Mfa => (Grade::Low, true),
            Self::Eidas2 => (Grade::Substantial, true),
            Self::Eidas3 => (Grade::High, true),
        }
    }

    /// Whether who reached this level has reached `wanted` too.
    #[must_use]
    pub fn satisfies(self, wanted: Self) -> bool {
        let ((grade, factors), (asked, asked_factors)) = (self.parts(), wanted.parts());
        grade >= asked && (factors || !asked_factors)
    }
}

/// How far one pillar carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// Not at all.
    None,
    /// Low.
    Low,
    /// Substantial.
    Substantial,
    /// High.
    High,
}

/// What this request knows of the person's authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// The gesture was made for this very request.
    pub fresh: bool,
    /// The key verified its user (PIN).
    pub pin: bool,
    /// The manufacturer attested the key, and it cannot be copied.
    pub attested: bool,
}

impl Authentication {
    /// The level that is true, under what is known of identity and organisation (the weaker of which is `others`).
    #[must_use]
    pub fn level(self, others: Grade) -> Level {
        let own = match self {
            Self {
                fresh: true,
                pin: true,
                attested: true,
            } => Grade::High,
            Self { pin: true, .. } => Grade::Substantial,
            Self { pin: false, .. } => Grade::Low,
        };
        match (own.min(others), self.pin) {
            (Grade::High, _) => Level::Eidas3,
            (Grade::Substantial, _) => Level::Eidas2,
            (Grade::Low, true) => Level::Eidas1Mfa,
            (Grade::Low, false) => Level::Eidas1,
            (Grade::None, true) => Level::Eidas0Mfa,
            (Grade::None, false) => Level::Eidas0,
        }
    }

    /// The methods (RFC 8176), as the federation words them.
    #[must_use]
    pub fn methods(self) -> &'static [&'static str] {
        if self.pin {
            &["pop", "hwk", "pin", "mfa"]
        } else {
            &["pop", "hwk"]
        }
    }
}

/// What to say: the highest of the wanted levels that `reached` satisfies, else `reached` itself, which is lower and true.
#[must_use]
pub fn said(reached: Level, wanted: &[Level]) -> Level {
    wanted
        .iter()
        .copied()
        .filter(|wanted| reached.satisfies(*wanted))
        .max()
        .unwrap_or(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GESTURE: Authentication = Authentication {
        fresh: true,
        pin: true,
        attested: true,
    };

    #[test]
    fn eidas3_takes_all_three_and_both_other_pillars() {
        assert_eq!(GESTURE.level(Grade::High), Level::Eidas3);
        for (weaker, level) in [
            (
                Authentication {
                    fresh: false,
                    ..GESTURE
                },
                Level::Eidas2,
            ),
            (
                Authentication {
                    attested: false,
                    ..GESTURE
                },
                Level::Eidas2,
            ),
            (
                Authentication {
                    pin: false,
                    ..GESTURE
                },
                Level::Eidas1,
            ),
        ] {
            assert_eq!(weaker.level(Grade::High), level, "{weaker:?}");
        }
        assert_eq!(GESTURE.level(Grade::Substantial), Level::Eidas2);
        assert_eq!(GESTURE.level(Grade::Low), Level::Eidas1Mfa);
        assert_eq!(GESTURE.level(Grade::None), Level::Eidas0Mfa);
    }

    #[test]
    fn exactly_one_wanted_value_comes_back_or_a_lower_true_one() {
        use Level::{Eidas0Mfa, Eidas1, Eidas1Mfa, Eidas2, Eidas3};
        assert_eq!(said(Eidas3, &[Eidas3]), Eidas3);
        assert_eq!(said(Eidas3, &[Eidas1, Eidas2]), Eidas2);
        assert_eq!(said(Eidas2, &[Eidas3]), Eidas2);
        assert_eq!(said(Eidas2, &[Eidas1Mfa, Eidas3]), Eidas1Mfa);
        assert_eq!(said(Eidas1, &[Eidas0Mfa]), Eidas1);
        assert_eq!(said(Eidas2, &[]), Eidas2);
    }

    #[test]
    fn nothing_said_is_more_than_what_was_reached() {
        for reached in LEVELS {
            for mask in 0u8..64 {
                let wanted: Vec<Level> = LEVELS
                    .into_iter()
                    .enumerate()
                    .filter(|(n, _)| mask & (1 << n) != 0)
                    .map(|(_, level)| level)
                    .collect();
                assert!(reached.satisfies(said(reached, &wanted)));
            }
        }
    }

    #[test]
    fn words_are_the_federations() {
        for level in LEVELS {
            assert_eq!(Level::from_word(level.as_str()), Some(level));
            assert_eq!(
                serde_json::to_value(level).unwrap(),
                serde_json::json!(level.as_str())
            );
        }
        for other in [
            "eidas4",
            "EIDAS3",
            "https://proconnect.gouv.fr/assurance/certification-dirigeant",
            "",
        ] {
            assert_eq!(Level::from_word(other), None, "{other}");
        }
    }
}
