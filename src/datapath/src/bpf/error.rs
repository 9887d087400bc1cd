use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::programs::tc::TcError;
use aya::programs::{ProgramError, links::LinkError};
use egret_ports::error::{ErrorClass, PortError};

/// What went wrong with programs, maps or pins.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// The pin directory is not on a BPF file system.
    #[error("{}: not on a BPF file system; mount one with `mount -t bpf bpf /sys/fs/bpf`", .0.display())]
    NotBpfFs(PathBuf),
    /// A file operation on the pins failed.
    #[error("{}: {source}", path.display())]
    Pin {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refused the object file: a map that it cannot make, or a missing right.
    #[error("cannot load Egret's BPF object (needs Linux 5.11 and CAP_BPF, CAP_NET_ADMIN): {0}")]
    Object(#[from] aya::EbpfError),
    /// The kernel refused a program.
    #[error("BPF program {program} on {link}: {source}")]
    Program {
        /// The program.
        program: &'static str,
        /// The interface, or empty where it was loading.
        link: String,
        /// The cause.
        source: ProgramError,
    },
    /// An operation on a map failed.
    #[error("BPF map {map}: {source}")]
    Map {
        /// The map.
        map: &'static str,
        /// The cause.
        source: MapError,
    },
    /// The interface does not exist.
    #[error("interface {0} does not exist in this network namespace")]
    NoLink(String),
    /// The interface carries no Ethernet frames.
    #[error("interface {0} is no Ethernet device: name an uplink that is one")]
    NotEthernet(String),
    /// Pins of another version whose values this one cannot read.
    #[error(
        "{}: its values are {found} bytes, this version's are {expected}: run `egret teardown` and start again",
        path.display()
    )]
    Layout {
        /// The pinned map.
        path: PathBuf,
        /// Key and value length found.
        found: String,
        /// Key and value length known.
        expected: String,
    },
}

impl BpfError {
    pub(crate) fn map(map: &'static str) -> impl Fn(MapError) -> Self {
        move |source| Self::Map { map, source }
    }

    pub(crate) fn pin(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Pin { path, source }
    }

    /// The kernel's number for what went wrong, where it gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Pin { source, .. } => source.raw_os_error(),
            Self::Map { source, .. } => map_errno(source),
            Self::Program { source, .. } => program_errno(source),
            _ => None,
        }
    }

    /// As an error of a port, while doing `operation`.
    pub fn into_port(self, operation: impl Into<String>) -> PortError {
        let class = match self.errno() {
            Some(libc::E2BIG | libc::ENOSPC) => ErrorClass::Quota,
            Some(libc::ENOENT) => ErrorClass::NotFound,
            Some(libc::EPERM | libc::EACCES) => ErrorClass::Denied,
            _ => ErrorClass::Transient,
        };
        PortError::new(class, operation, self)
    }
}

fn map_errno(error: &MapError) -> Option<i32> {
    match error {
        MapError::SyscallError(call) => call.io_error.raw_os_error(),
        MapError::IoError(source) => source.raw_os_error(),
        MapError::KeyNotFound | MapError::ElementNotFound => Some(libc::ENOENT),
        _ => None,
    }
}

pub(crate) fn program_errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::LoadError { io_error, .. } => io_error.raw_os_error(),
        ProgramError::SyscallError(call) => call.io_error.raw_os_error(),
        ProgramError::NetlinkError(netlink) => netlink.raw_os_error(),
        ProgramError::TcError(TcError::NetlinkError(netlink)) => netlink.raw_os_error(),
        ProgramError::TcError(TcError::IoError(source)) | ProgramError::IOError(source) => {
            source.raw_os_error()
        }
        _ => None,
    }
}

pub(crate) fn link_errno(error: &LinkError) -> Option<i32> {
    match error {
        LinkError::SyscallError(call) => call.io_error.raw_os_error(),
        _ => None,
    }
}
