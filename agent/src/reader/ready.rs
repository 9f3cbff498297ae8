//! What an authenticator that can be used is asked to do: each operation is one job of its thread, with a limit of its own.
//!
//! Deliberately elsewhere: the conversations themselves ([`sceau_ctap::ceremony`], [`sceau_ctap::u2f`]), what may be signed ([`crate::ceremony`]).

use sceau_ctap::assertion::{Assertion, GetAssertion, get_assertion};
use sceau_ctap::ceremony::{self, Authentication, Registration, ResidentKey, UserVerification};
use sceau_ctap::client_pin::{self, PinRetries};
use sceau_ctap::credential::{NewCredential, RelyingParty, User};
use sceau_ctap::info::{self, AuthenticatorInfo};
use sceau_ctap::{Device, Error, Keepalive, Pin, PortError, Refused, command, config, u2f};

use super::{AuthenticatorError, Condition, Handle, QUIET, SystemEntropy, TOUCH, Transport};

/// An authenticator that can be used.
#[derive(Clone)]
pub struct Ready {
    /// Its number.
    pub id: u64,
    /// For people.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// What it is.
    pub info: Box<AuthenticatorInfo>,
    pub(super) handle: Handle,
}

/// A registration, owned by the operation.
pub struct NewKey {
    /// SHA-256 of clientDataJSON.
    pub client_data_hash: [u8; 32],
    /// The configured relying party, and its name.
    pub rp: (String, String),
    /// User handle, account name, display name.
    pub user: (Vec<u8>, String, String),
    /// COSE algorithms, best first.
    pub algorithms: Vec<i64>,
    /// Credentials that it must not hold yet.
    pub exclude: Vec<Vec<u8>>,
}

impl Ready {
    /// Which of `allow` it holds, asked in silence.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn locate(
        &self,
        rp_id: &str,
        allow: Vec<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, AuthenticatorError> {
        let (rp_id, info) = (rp_id.to_owned(), self.info.clone());
        self.handle
            .run(QUIET, &mut |_| {}, move |device, _| {
                if is_u2f(&info) {
                    return u2f::locate(device, &rp_id, &allow);
                }
                ceremony::locate(device, &info, &rp_id, &allow)
            })
            .await
    }

    /// How many PIN tries are left.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn pin_retries(&self) -> Result<PinRetries, AuthenticatorError> {
        self.handle
            .run(QUIET, &mut |_| {}, |device, _| {
                client_pin::pin_retries(device)
            })
            .await
    }

    /// Signs with one credential, after PIN and touch.
    ///
    /// # Errors
    /// [`AuthenticatorError`]; a wrong PIN costs one of its tries, and is not tried again.
    pub async fn assert(
        &self,
        rp_id: &str,
        client_data_hash: [u8; 32],
        credential: Vec<u8>,
        pin: Option<Pin>,
        on_progress: &mut dyn FnMut(Keepalive),
    ) -> Result<Assertion, AuthenticatorError> {
        let (rp_id, info) = (rp_id.to_owned(), self.info.clone());
        let work = move |device: &mut dyn Device, progress: sceau_ctap::Progress<'_>| {
            if is_u2f(&info) {
                let allow = [credential];
                return u2f::authenticate(device, &rp_id, &client_data_hash, &allow, progress);
            }
            // A card can be swapped faster than pcscd looks: the PIN goes to nothing but the key that was asked about.
            let allow = std::slice::from_ref(&credential);
            if ceremony::locate(device, &info, &rp_id, allow)?.as_deref() != Some(&credential) {
                return Err(PortError::Gone.into());
            }
            let request = Authentication {
                client_data_hash: &client_data_hash,
                rp_id: &rp_id,
                allow: std::slice::from_ref(&credential),
                user_verification: UserVerification::Required,
            };
            let assertions = ceremony::authenticate(
                device,
                &info,
                &request,
                pin.as_ref(),
                &mut SystemEntropy,
                progress,
            )?;
            assertions
                .into_iter()
                .next()
                .ok_or(Error::Refused(Refused::NoCredential))
        };
        self.handle.run(TOUCH, on_progress, work).await
    }

    /// Signs with one credential in silence: neither PIN nor touch is asked for. One short exchange; what it says of itself is not trusted.
    ///
    /// # Errors
    /// [`AuthenticatorError::NoCredential`] when it holds another one; [`AuthenticatorError`].
    pub async fn assert_silently(
        &self,
        rp_id: &str,
        client_data_hash: [u8; 32],
        credential: Vec<u8>,
    ) -> Result<Assertion, AuthenticatorError> {
        let rp_id = rp_id.to_owned();
        let work = move |device: &mut dyn Device, progress: sceau_ctap::Progress<'_>| {
            let request = GetAssertion {
                rp_id: &rp_id,
                client_data_hash: &client_data_hash,
                allow: &[&credential],
                up: false,
                uv: false,
                token: None,
            };
            get_assertion(device, &request, progress)?
                .into_iter()
                .next()
                .ok_or(Error::Refused(Refused::NoCredential))
        };
        self.handle.run(QUIET, &mut |_| {}, work).await
    }

    /// Makes a credential, after PIN and touch.
    ///
    /// # Errors
    /// As [`Ready::assert`].
    pub async fn register(
        &self,
        key: NewKey,
        pin: Option<Pin>,
        on_progress: &mut dyn FnMut(Keepalive),
    ) -> Result<NewCredential, AuthenticatorError> {
        let info = self.info.clone();
        let work = move |device: &mut dyn Device, progress: sceau_ctap::Progress<'_>| {
            if is_u2f(&info) {
                let (rp_id, hash) = (&key.rp.0, &key.client_data_hash);
                return u2f::register(device, rp_id, hash, &key.exclude, progress);
            }
            let request = Registration {
                client_data_hash: &key.client_data_hash,
                rp: RelyingParty {
                    id: &key.rp.0,
                    name: Some(&key.rp.1),
                },
                user: User {
                    id: &key.user.0,
                    name: Some(&key.user.1),
                    display_name: Some(&key.user.2),
                },
                algorithms: &key.algorithms,
                exclude: &key.exclude,
                resident_key: ResidentKey::Discouraged,
                user_verification: UserVerification::Required,
                cred_protect: None,
            };
            ceremony::register(
                device,
                &info,
                &request,
                pin.as_ref(),
                &mut SystemEntropy,
                progress,
            )
        };
        self.handle.run(TOUCH, on_progress, work).await
    }

    /// Sets the first PIN, and asks the authenticator again what it is.
    ///
    /// # Errors
    /// [`AuthenticatorError::PinUnfit`] when the PIN breaks its rules.
    pub async fn set_pin(&self, pin: Pin) -> Result<Box<AuthenticatorInfo>, AuthenticatorError> {
        let info = self.info.clone();
        let work = move |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
            client_pin::check_length(&pin, info.min_pin_length)?;
            client_pin::set_pin(device, info.pin_protocol()?, &pin, &mut SystemEntropy)?;
            info::info(device).map(Box::new)
        };
        self.handle.run(QUIET, &mut |_| {}, work).await
    }

    /// Changes the PIN, and asks the authenticator again what it is.
    ///
    /// # Errors
    /// [`AuthenticatorError::WrongPin`] costs a try; [`AuthenticatorError::PinUnfit`] when the new one breaks its rules.
    pub async fn change_pin(
        &self,
        current: Pin,
        new: Pin,
    ) -> Result<Box<AuthenticatorInfo>, AuthenticatorError> {
        let info = self.info.clone();
        let work = move |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
            client_pin::check_length(&new, info.min_pin_length)?;
            let protocol = info.pin_protocol()?;
            client_pin::change_pin(device, protocol, &current, &new, &mut SystemEntropy)?;
            info::info(device).map(Box::new)
        };
        self.handle.run(QUIET, &mut |_| {}, work).await
    }

    /// Has it insist on another PIN than this one, and asks it again what it is.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn force_pin_change(
        &self,
        pin: Pin,
    ) -> Result<Box<AuthenticatorInfo>, AuthenticatorError> {
        let info = self.info.clone();
        let work = move |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
            config::force_pin_change(device, &info, &pin, &mut SystemEntropy)?;
            info::info(device).map(Box::new)
        };
        self.handle.run(QUIET, &mut |_| {}, work).await
    }

    /// Erases every credential and the PIN for good, after a touch, and asks it again what it is. Most allow it only just after power-up.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn danger_reset(
        &self,
        on_progress: &mut dyn FnMut(Keepalive),
    ) -> Result<Box<AuthenticatorInfo>, AuthenticatorError> {
        let work = move |device: &mut dyn Device, progress: sceau_ctap::Progress<'_>| {
            command::danger_reset(device, progress)?;
            info::info(device).map(Box::new)
        };
        self.handle.run(TOUCH, on_progress, work).await
    }
}

impl Ready {
    /// Whether it is an old key that speaks U2F alone: presence without verification.
    #[must_use]
    pub fn is_u2f(&self) -> bool {
        is_u2f(&self.info)
    }

    /// Whether it knows how to wait for a touch that chooses it. On a reader, lying there is a touch, which chooses nothing.
    #[must_use]
    pub fn can_be_selected(&self) -> bool {
        self.transport == Transport::Usb
            && ["FIDO_2_1", "FIDO_2_2", "FIDO_2_3"]
                .iter()
                .any(|version| self.info.has_version(version))
    }

    /// Waits until it, among several, is touched (CTAP 2.1 §6.9); nothing is signed.
    ///
    /// # Errors
    /// [`AuthenticatorError`].
    pub async fn select(&self) -> Result<(), AuthenticatorError> {
        self.handle
            .run(TOUCH, &mut |_| {}, command::selection)
            .await
    }

    /// Whether it and `other` are one authenticator that is reached in two ways: both give the key-agreement key that an authenticator draws at
    /// random when it is powered. A device that repeats another's key can make itself or that other one be passed over, no more.
    pub async fn is_same_as(&self, other: &Self) -> bool {
        if self.info.aaguid != other.info.aaguid {
            return false;
        }
        let (Ok(protocol), Ok(theirs)) = (self.info.pin_protocol(), other.info.pin_protocol())
        else {
            return false;
        };
        let key = move |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
            client_pin::key_agreement(device, protocol)
        };
        protocol.number() == theirs.number()
            && match self.handle.run(QUIET, &mut |_| {}, key).await {
                Ok(ours) => other.handle.run(QUIET, &mut |_| {}, key).await == Ok(ours),
                Err(_) => false,
            }
    }
}

/// What a key that speaks U2F alone would say of itself: `{1: ["U2F_V2"], 3: AAGUID 0}`, no option, no PIN.
const U2F_INFO: [u8; 28] = [
    0xa2, 0x01, 0x81, 0x66, b'U', b'2', b'F', b'_', b'V', b'2', 0x03, 0x50, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0,
];

fn is_u2f(info: &AuthenticatorInfo) -> bool {
    info.versions.iter().all(|version| version == "U2F_V2")
}

/// Asks an authenticator what it is.
pub async fn describe(handle: &Handle) -> Condition {
    let ask = |device: &mut dyn Device, _: sceau_ctap::Progress<'_>| {
        if device.speaks_ctap2() {
            return info::info(device);
        }
        u2f::version(device)?;
        AuthenticatorInfo::read(&U2F_INFO)
    };
    match handle.run(QUIET, &mut |_| {}, ask).await {
        Ok(info) => Condition::Ready(Box::new(info)),
        Err(e) => Condition::Unusable(e),
    }
}
