//! The Trussed runtime under the applications: which backend answers which request, for FIDO2 and PIV alike.
//!
//! The service runs inside the client's system call, in the one thread that is the key's processor: nothing polls.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::OsRng;
use trussed::backend::{Backend as _, BackendId};
use trussed::pipe::ServiceEndpoint;
use trussed::platform::{self, Platform};
use trussed::serde_extensions::{ExtensionDispatch, ExtensionId, ExtensionImpl as _};
use trussed::service::{Service, ServiceResources};
use trussed::types::{Context, ui::Status};
use trussed::virt::Store;
use trussed_auth::AuthExtension;
use trussed_auth_backend::{AuthBackend, AuthContext, FilesystemLayout};
use trussed_chunked::ChunkedExtension;
use trussed_core::Error;
use trussed_core::api::{Reply, Request, reply, request};
use trussed_core::types::{Location, consent::Level, reboot::To};
use trussed_fs_info::FsInfoExtension;
use trussed_hkdf::HkdfExtension;
use trussed_hpke::HpkeExtension;
use trussed_manage::ManageExtension;
use trussed_rsa_alloc::SoftwareRsa;
use trussed_staging::{StagingBackend, StagingContext};
use trussed_wrap_key_to_file::WrapKeyToFileExtension;

use crate::touch::Touch;

/// The backends beside Trussed's core.
pub enum Backend {
    /// Extensions that Nitrokey keeps outside of the core.
    Staging,
    /// PINs of the PIV application.
    Auth,
    /// RSA in software.
    Rsa,
}

/// Who answers the FIDO2 application.
pub const FIDO: &[BackendId<Backend>] = &[BackendId::Custom(Backend::Staging), BackendId::Core];
/// Who answers the PIV application.
pub const PIV: &[BackendId<Backend>] = &[
    BackendId::Custom(Backend::Staging),
    BackendId::Custom(Backend::Auth),
    BackendId::Custom(Backend::Rsa),
    BackendId::Core,
];

/// The system calls beside Trussed's core.
#[repr(u8)]
#[derive(Clone, Copy)]
pub enum Extension {
    /// Files larger than a message.
    Chunked,
    /// HKDF.
    Hkdf,
    /// Factory reset.
    Manage,
    /// Keys wrapped into files.
    WrapKeyToFile,
    /// Free space.
    FsInfo,
    /// HPKE.
    Hpke,
    /// PINs.
    Auth,
}

const EXTENSIONS: [Extension; 7] = [
    Extension::Chunked,
    Extension::Hkdf,
    Extension::Manage,
    Extension::WrapKeyToFile,
    Extension::FsInfo,
    Extension::Hpke,
    Extension::Auth,
];

impl From<Extension> for u8 {
    fn from(extension: Extension) -> Self {
        extension as Self
    }
}

impl TryFrom<u8> for Extension {
    type Error = Error;

    fn try_from(id: u8) -> Result<Self, Error> {
        EXTENSIONS
            .get(usize::from(id))
            .copied()
            .ok_or(Error::FunctionNotSupported)
    }
}

/// The backends' own state.
pub struct Backends {
    staging: StagingBackend,
    auth: AuthBackend,
    rsa: SoftwareRsa,
}

impl Default for Backends {
    fn default() -> Self {
        Self {
            staging: StagingBackend::new(),
            auth: AuthBackend::new(Location::Internal, FilesystemLayout::V1),
            rsa: SoftwareRsa,
        }
    }
}

/// The backends' state for one application.
#[derive(Default)]
pub struct BackendContext {
    staging: StagingContext,
    auth: AuthContext,
}

impl ExtensionDispatch for Backends {
    type BackendId = Backend;
    type Context = BackendContext;
    type ExtensionId = Extension;

    fn core_request<P: Platform>(
        &mut self,
        backend: &Backend,
        ctx: &mut Context<BackendContext>,
        request: &Request,
        resources: &mut ServiceResources<P>,
    ) -> Result<Reply, Error> {
        let core = &mut ctx.core;
        match backend {
            Backend::Staging => {
                self.staging
                    .request(core, &mut ctx.backends.staging, request, resources)
            }
            Backend::Auth => self
                .auth
                .request(core, &mut ctx.backends.auth, request, resources),
            Backend::Rsa => self.rsa.request(core, &mut (), request, resources),
        }
    }

    fn extension_request<P: Platform>(
        &mut self,
        backend: &Backend,
        extension: &Extension,
        ctx: &mut Context<BackendContext>,
        request: &request::SerdeExtension,
        resources: &mut ServiceResources<P>,
    ) -> Result<reply::SerdeExtension, Error> {
        let core = &mut ctx.core;
        let staging = &mut ctx.backends.staging;
        macro_rules! staging {
            ($extension:ty) => {
                trussed::serde_extensions::ExtensionImpl::<$extension>::extension_request_serialized(
                    &mut self.staging,
                    core,
                    staging,
                    request,
                    resources,
                )
            };
        }
        match (backend, extension) {
            (Backend::Staging, Extension::Chunked) => staging!(ChunkedExtension),
            (Backend::Staging, Extension::Hkdf) => staging!(HkdfExtension),
            (Backend::Staging, Extension::Manage) => staging!(ManageExtension),
            (Backend::Staging, Extension::WrapKeyToFile) => staging!(WrapKeyToFileExtension),
            (Backend::Staging, Extension::FsInfo) => staging!(FsInfoExtension),
            (Backend::Staging, Extension::Hpke) => staging!(HpkeExtension),
            (Backend::Auth, Extension::Auth) => self.auth.extension_request_serialized(
                core,
                &mut ctx.backends.auth,
                request,
                resources,
            ),
            _ => Err(Error::RequestNotAvailable),
        }
    }
}

macro_rules! extension_id {
    ($($extension:ty => $id:ident),* $(,)?) => {$(
        impl ExtensionId<$extension> for Backends {
            type Id = Extension;
            const ID: Extension = Extension::$id;
        }
    )*};
}

extension_id! {
    ChunkedExtension => Chunked,
    HkdfExtension => Hkdf,
    ManageExtension => Manage,
    WrapKeyToFileExtension => WrapKeyToFile,
    FsInfoExtension => FsInfo,
    HpkeExtension => Hpke,
    AuthExtension => Auth,
}

/// What the firmware stands on: the machine's random numbers, the flash, the scripted finger.
pub struct Board<'a> {
    rng: OsRng,
    store: Store<'a>,
    front: Front,
}

impl<'a> Board<'a> {
    /// A board that has just got power.
    pub fn new(store: Store<'a>, touch: Arc<Touch>) -> Self {
        Self {
            rng: OsRng,
            store,
            front: Front {
                touch,
                powered: Instant::now(),
            },
        }
    }
}

impl<'a> Platform for Board<'a> {
    type R = OsRng;
    type S = Store<'a>;
    type UI = Front;

    fn rng(&mut self) -> &mut OsRng {
        &mut self.rng
    }

    fn store(&self) -> Store<'a> {
        self.store
    }

    fn user_interface(&mut self) -> &mut Front {
        &mut self.front
    }
}

/// The button and the light.
pub struct Front {
    touch: Arc<Touch>,
    powered: Instant,
}

impl platform::UserInterface for Front {
    fn check_user_presence(&mut self) -> Level {
        self.touch.poll()
    }

    fn set_status(&mut self, status: Status) {
        if status == Status::WaitingForUserPresence {
            self.touch.begin();
        } else {
            self.touch.end();
        }
    }

    fn uptime(&mut self) -> Duration {
        self.powered.elapsed()
    }

    fn reboot(&mut self, _to: To) -> ! {
        // Unwinds to the power loop, which boots again.
        panic!("the firmware asked for a reboot")
    }

    fn wink(&mut self, _duration: Duration) {
        self.touch.wink();
    }
}

type Endpoint<'a> = ServiceEndpoint<'a, Backend, BackendContext>;

/// The system call: runs the service on the spot.
pub struct Syscall<'a>(Rc<RefCell<Kernel<'a>>>);

struct Kernel<'a> {
    service: Service<Board<'a>, Backends>,
    endpoints: Vec<Endpoint<'a>>,
}

impl<'a> Syscall<'a> {
    /// A service with one client.
    pub fn new(board: Board<'a>, endpoint: Endpoint<'a>) -> Self {
        let service = Service::with_dispatch(board, Backends::default());
        let endpoints = vec![endpoint];
        Self(Rc::new(RefCell::new(Kernel { service, endpoints })))
    }
}

impl platform::Syscall for Syscall<'_> {
    fn syscall(&mut self) {
        let Kernel { service, endpoints } = &mut *self.0.borrow_mut();
        service.process(endpoints);
    }
}
