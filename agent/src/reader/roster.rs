//! The authenticators that are there, and what is known of each. No hardware is reached here; what devices say of themselves is not believed.

use std::collections::BTreeMap;

use sceau_ctap::info::AuthenticatorInfo;

use super::{AuthenticatorError, Handle, Ready};

/// What is known of an authenticator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is being asked what it is.
    Reading,
    /// It answered.
    Ready(Box<AuthenticatorInfo>),
    /// It cannot be used, for this reason.
    Unusable(AuthenticatorError),
    /// It is the same authenticator as this one, which is reached by a better way.
    Twin(u64),
}

/// How an authenticator is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In or on a reader.
    SmartCard,
    /// On USB, as a HID device.
    Usb,
}

impl Transport {
    /// As `sceau keys` prints it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::SmartCard => "pcsc",
            Self::Usb => "usb",
        }
    }
}

/// Where an authenticator is, in words for people; from devices and readers, so not to be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabouts {
    /// How it is reached.
    pub transport: Transport,
    /// The reader that it is in, or the product.
    pub name: String,
    /// What it says that its serial number is.
    pub serial: Option<String>,
}

/// One authenticator that is there.
pub struct Authenticator {
    /// The reader (or the product) that it is in, for people; one line.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Its serial number, where it tells; one line.
    pub serial: Option<String>,
    /// Its thread.
    pub handle: Handle,
    /// What it is.
    pub condition: Condition,
}

/// The authenticators that are there, by a number that is never used twice.
#[derive(Default)]
pub struct Authenticators {
    there: BTreeMap<u64, Authenticator>,
    last: u64,
}

impl Authenticators {
    /// Takes one in.
    pub fn arrive(&mut self, whereabouts: &Whereabouts, handle: Handle) -> u64 {
        self.last += 1;
        let line = |text: &str| {
            text.chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(100)
                .collect()
        };
        self.there.insert(
            self.last,
            Authenticator {
                name: line(&whereabouts.name),
                transport: whereabouts.transport,
                serial: whereabouts.serial.as_deref().map(line),
                handle,
                condition: Condition::Reading,
            },
        );
        self.last
    }

    /// It is gone. Returns those that were taken for the same one: they must be asked again what they are.
    pub fn leave(&mut self, id: u64) -> Vec<(u64, Handle)> {
        self.there.remove(&id);
        let mut alone = Vec::new();
        for (twin, authenticator) in &mut self.there {
            if authenticator.condition == Condition::Twin(id) {
                authenticator.condition = Condition::Reading;
                alone.push((*twin, authenticator.handle.clone()));
            }
        }
        alone
    }

    /// It said what it is.
    pub fn describe(&mut self, id: u64, condition: Condition) {
        if let Some(authenticator) = self.there.get_mut(&id) {
            authenticator.condition = condition;
        }
    }

    /// Whether it is still there.
    #[must_use]
    pub fn is_there(&self, id: u64) -> bool {
        self.there.contains_key(&id)
    }

    /// Whether one of them is still being asked what it is.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.there
            .values()
            .any(|authenticator| authenticator.condition == Condition::Reading)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Authenticator)> {
        self.there
            .iter()
            .map(|(id, authenticator)| (*id, authenticator))
    }

    /// Those that can be used.
    #[must_use]
    pub fn ready(&self) -> Vec<Ready> {
        let ready = |(id, authenticator): (&u64, &Authenticator)| match &authenticator.condition {
            Condition::Ready(info) => self.as_ready(*id, info),
            _ => None,
        };
        self.there.iter().filter_map(ready).collect()
    }

    /// This one, as if it could be used, with what it said of itself.
    #[must_use]
    pub fn as_ready(&self, id: u64, info: &AuthenticatorInfo) -> Option<Ready> {
        let authenticator = self.there.get(&id)?;
        Some(Ready {
            id,
            name: authenticator.name.clone(),
            transport: authenticator.transport,
            handle: authenticator.handle.clone(),
            info: Box::new(info.clone()),
        })
    }
}
