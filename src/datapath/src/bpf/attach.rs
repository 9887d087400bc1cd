//! Programs on interfaces: by tcx where the kernel has it (6.6), by clsact filters elsewhere.
//!
//! A tcx attachment lives as long as its pin, `<program>_<interface index>`; a filter as long as
//! the interface. Both outlive this process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};

use super::error::{BpfError, link_errno, program_errno};
use super::pins;

/// A program and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProgramHook {
    pub(crate) program: &'static str,
    pub(crate) ingress: bool,
    pub(crate) place: ProgramPlace,
}

/// The links that a program belongs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramPlace {
    Tunnel,
    /// Every link that carries addresses.
    Uplinks,
    /// Every other link to the outside.
    Guarded,
}

/// The order is that of attaching: what forbids comes before what allows.
pub(crate) const HOOKS: [ProgramHook; 6] = [
    ProgramHook { program: "egret_up_out", ingress: false, place: ProgramPlace::Uplinks },
    ProgramHook { program: "egret_tun_in", ingress: true, place: ProgramPlace::Tunnel },
    ProgramHook { program: "egret_tun_out", ingress: false, place: ProgramPlace::Tunnel },
    ProgramHook { program: "egret_up_in", ingress: true, place: ProgramPlace::Uplinks },
    ProgramHook { program: "egret_guard_in", ingress: true, place: ProgramPlace::Guarded },
    ProgramHook { program: "egret_guard_out", ingress: false, place: ProgramPlace::Guarded },
];

/// How programs are attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// tcx, or clsact where the kernel has no tcx.
    #[default]
    Auto,
    /// tcx only (kernels from 6.6).
    Tcx,
    /// clsact filters only.
    Clsact,
}

/// Priority and handle of our clsact filters: what tells them from others'.
pub(crate) const FILTER_PRIORITY: u16 = 490;
const HANDLE: TcHandle = TcHandle::new(0, 1);

impl ProgramHook {
    fn attach_type(self) -> TcAttachType {
        if self.ingress { TcAttachType::Ingress } else { TcAttachType::Egress }
    }

    pub(crate) fn pin_name(self, index: u32) -> String {
        format!("{}_{index}", self.program)
    }

    pub(crate) fn failed(self, link: &str) -> impl Fn(aya::programs::ProgramError) -> BpfError {
        move |source| BpfError::Program { program: self.program, link: link.to_owned(), source }
    }
}

/// Makes the interface run `program`, replacing an older one of ours in one step. True where
/// something had to be done.
pub(crate) fn attach_tcx(
    program: &mut SchedClassifier,
    hook: ProgramHook,
    link: (&str, u32),
    directory: &Path,
    older: &[PathBuf],
) -> Result<bool, BpfError> {
    let failed = hook.failed(link.0);
    let path = directory.join(hook.pin_name(link.1));
    let id = program.info().map_err(&failed)?.id();
    let places = std::iter::once(directory).chain(older.iter().map(PathBuf::as_path));
    for place in places {
        let old_path = place.join(hook.pin_name(link.1));
        let Some(old) = open_link(&old_path)? else { continue };
        let same = old_path == path && old.info().is_ok_and(|info| info.program_id() == id);
        // Where the program is the same this changes nothing, and says whether the interface still
        // runs it. (To ask the interface which programs it runs takes CAP_SYS_ADMIN.)
        let replaced = SchedClassifierLink::try_from(old)
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
            .map_err(BpfError::pin(&old_path))
            .map(|old| program.attach_to_link(old))?;
        match replaced {
            Ok(id) => {
                let link = program.take_link(id).map_err(&failed)?;
                if old_path != path {
                    pin(link, &path)?;
                    fs::remove_file(&old_path).map_err(BpfError::pin(&old_path))?;
                }
                return Ok(!same);
            }
            // The interface that it was attached to is gone, and its index was given anew.
            Err(error) if program_errno(&error) == Some(libc::ENOLINK) => {
                fs::remove_file(&old_path).map_err(BpfError::pin(&old_path))?;
            }
            Err(error) => return Err(failed(error)),
        }
    }
    // First: a foreign program that decides about a packet ends the chain (linux/bpf.h, TCX_*).
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(link.0, hook.attach_type(), first).map_err(&failed)?;
    pin(program.take_link(id).map_err(&failed)?, &path)?;
    Ok(true)
}

fn pin(link: SchedClassifierLink, path: &Path) -> Result<(), BpfError> {
    let refused = || io::Error::from_raw_os_error(libc::EINVAL);
    let link = FdLink::try_from(link).map_err(|_| BpfError::pin(path)(refused()))?;
    link.pin(path).map_err(|error| match error {
        aya::pin::PinError::SyscallError(call) => BpfError::pin(path)(call.io_error),
        _ => BpfError::pin(path)(refused()),
    })?;
    Ok(())
}

fn open_link(path: &Path) -> Result<Option<FdLink>, BpfError> {
    match PinnedLink::from_pin(path) {
        Ok(link) => Ok(Some(link.into())),
        Err(error) => match link_errno(&error) {
            Some(libc::ENOENT) => Ok(None),
            number => {
                let number = number.unwrap_or(libc::EINVAL);
                Err(BpfError::pin(path)(io::Error::from_raw_os_error(number)))
            }
        },
    }
}

/// As [`attach_tcx`], with a clsact filter. The kernel replaces a filter of the same priority and
/// handle in one step; whether it is there can only be said by doing so.
pub(crate) fn attach_clsact(
    program: &mut SchedClassifier,
    hook: ProgramHook,
    link: &str,
) -> Result<bool, BpfError> {
    let failed = hook.failed(link);
    let netlink = |error: tc::TcError| aya::programs::ProgramError::TcError(error);
    if let Err(error) = tc::qdisc_add_clsact(link).map_err(netlink)
        && program_errno(&error) != Some(libc::EEXIST)
    {
        return Err(failed(error));
    }
    let old =
        SchedClassifierLink::attached(link, hook.attach_type(), FILTER_PRIORITY, HANDLE, None)
            .map_err(|error| failed(netlink(tc::TcError::IoError(error))))?;
    let (id, new) = match program.attach_to_link(old) {
        Ok(id) => (id, false),
        Err(error) if matches!(program_errno(&error), Some(libc::ENOENT | libc::EINVAL)) => {
            let options = NlOptions { priority: FILTER_PRIORITY, handle: HANDLE, classid: None };
            let id = program
                .attach_with_options(link, hook.attach_type(), TcAttachOptions::Netlink(options))
                .map_err(&failed)?;
            (id, true)
        }
        Err(error) => return Err(failed(error)),
    };
    // Dropping it would remove the filter, which has to outlive this process.
    std::mem::forget(program.take_link(id).map_err(&failed)?);
    Ok(new)
}

/// Removes our filters from an interface; none is success.
pub(crate) fn detach_clsact(link: &str) -> Result<(), BpfError> {
    for hook in HOOKS {
        match tc::qdisc_detach_program(link, hook.attach_type(), hook.program) {
            Ok(()) => {}
            Err(tc::TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let error = aya::programs::ProgramError::TcError(error);
                // No clsact there, or the interface has just gone.
                let gone = [libc::ENOENT, libc::EINVAL, libc::ENODEV, libc::EOPNOTSUPP];
                if !program_errno(&error).is_some_and(|number| gone.contains(&number)) {
                    return Err(hook.failed(link)(error));
                }
            }
        }
    }
    Ok(())
}

/// Removes the pins in `directory` of attachments that are not in `wanted`: they end with them. Those of guarded links
/// only where these are known.
pub(crate) fn detach_others(
    directory: &Path,
    wanted: &[String],
    knows_guarded: bool,
) -> Result<u32, BpfError> {
    let mut detached = 0;
    for name in pins::entries(directory)? {
        let ours = HOOKS
            .iter()
            .filter(|hook| knows_guarded || hook.place != ProgramPlace::Guarded)
            .any(|hook| name.strip_prefix(hook.program).is_some_and(|rest| rest.starts_with('_')));
        if ours && !wanted.contains(&name) {
            let path = directory.join(&name);
            // The kernel detaches at once where the last reference is a descriptor that is closed;
            // where it is the pin it does so later, in a work queue (bpf_link_put).
            let link = open_link(&path)?;
            fs::remove_file(&path).map_err(BpfError::pin(&path))?;
            drop(link);
            detached += 1;
        }
    }
    Ok(detached)
}
