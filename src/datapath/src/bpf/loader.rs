use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::Array;
use aya::programs::SchedClassifier;
use aya::{Ebpf, EbpfLoader};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{if_nameindex, if_nametoindex};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::statfs::{FsType, statfs};

use super::address_table::AddressTable;
use super::attach::{self, AttachMode, HOOKS, ProgramHook, ProgramPlace};
use super::codec::{self, BpfNodeConfig, CONFIG};
use super::error::{BpfError, program_errno};
use super::gateway_tables::GatewayTables;
use super::node_links::NodeLinks;
use super::pins;
use super::uplink_guard::{self, UplinkGuard};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/egret.bpf.o"));

/// linux/magic.h, BPF_FS_MAGIC.
const BPF_FS: FsType = FsType(0xcafe_4a11);

/// Length of the array of counters in bpf/maps.h.
const COUNTERS: u32 = 64;

/// What [`load`] needs.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// Egret's own directory on a BPF file system, such as `/sys/fs/bpf/egret`.
    pub pin_dir: PathBuf,
    /// [`super::LAYOUT`]; another one only in tests of an upgrade.
    pub layout: u32,
    /// How programs are attached.
    pub attach: AttachMode,
    /// VNI of the tunnel; the relay's is the next.
    pub vni: u32,
    /// The node's links.
    pub links: NodeLinks,
}

/// The programs of this node. Dropping it leaves everything in the kernel as it is.
#[derive(Debug)]
pub struct Loaded {
    ebpf: Ebpf,
    config: LoadConfig,
    clsact: bool,
}

/// What a look at the attachments has changed.
#[derive(Debug, Default)]
struct Changes {
    attached: u32,
    /// Some of them to uplinks.
    reattached: bool,
    detached: u32,
}

/// Loads the programs, on the maps that are pinned already where they are, and attaches them in
/// place of older ones, one step each. The content of another layout's maps is copied first; its
/// pins go last, so that after a crash at any point the next call begins with them again.
///
/// The agent must not write to the maps while this runs.
///
/// # Errors
/// What the kernel refused, or an interface that is missing or no Ethernet device; what was
/// attached before stays.
pub fn load(config: LoadConfig) -> Result<Loaded, BpfError> {
    // Kernels before 5.11 charge maps to this limit; without the right to raise it they say so.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let directory = pins::layout_directory(&config.pin_dir, config.layout);
    make_directory(&config.pin_dir, &directory)?;
    let others = pins::other_layouts(&config.pin_dir, config.layout)?;
    forget_stale_guard(&directory)?;
    let counted = pins::take_short_counters(&directory, COUNTERS)?;
    let mut ebpf =
        EbpfLoader::new().btf(None).default_map_pin_directory(&directory).load(OBJECT)?;
    for hook in HOOKS {
        load_program(&mut ebpf, hook)?;
    }
    // As late as can be: what the old programs count and remember from here on is lost.
    if let Some(newest) = others.first() {
        pins::copy_maps(newest, &directory)?;
    }
    if let Some(counted) = counted {
        pins::copy_counted(&counted, &directory)?;
    }
    let clsact = config.attach == AttachMode::Clsact;
    let mut loaded = Loaded { ebpf, clsact, config };
    loaded.attach_all(&others, false)?;
    if !loaded.clsact {
        // Of an earlier start with clsact: the two would handle every packet twice.
        let links = &loaded.config.links;
        for link in links.uplinks.iter().chain(&links.guarded_alone()).chain([&links.tunnel]) {
            attach::detach_clsact(link)?;
        }
    }
    for other in others {
        remove_pins(&other)?;
    }
    Ok(loaded)
}

/// Removes programs, attachments, maps and pins of every layout. Nothing there is success.
///
/// # Errors
/// What could not be removed; the rest is tried first.
pub fn teardown(pin_dir: &Path) -> Result<(), BpfError> {
    let mut failed = None;
    if let Ok(links) = if_nameindex() {
        for link in links.iter() {
            let removed = attach::detach_clsact(&link.name().to_string_lossy());
            failed = failed.or(removed.err());
        }
    }
    for layout in pins::other_layouts(pin_dir, 0)? {
        failed = failed.or(remove_pins(&layout).err());
    }
    match fs::remove_dir(pin_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            failed = failed.or(Some(BpfError::pin(pin_dir)(error)));
        }
        _ => {}
    }
    failed.map_or(Ok(()), Err)
}

impl Loaded {
    /// The addresses, for the lease thread.
    ///
    /// # Errors
    /// As [`AddressTable::open`].
    pub fn addresses(&self) -> Result<AddressTable, BpfError> {
        AddressTable::open(&self.config.pin_dir, self.config.layout)
    }

    /// Port blocks and gateways, for the feed of plans.
    ///
    /// # Errors
    /// As [`GatewayTables::open`].
    pub fn gateway_tables(&self) -> Result<GatewayTables, BpfError> {
        GatewayTables::open(&self.config.pin_dir, self.config.layout)
    }

    /// Where programs and maps are pinned.
    #[must_use]
    pub fn pin_dir(&self) -> &Path {
        &self.config.pin_dir
    }

    /// Whether the link of this name is an uplink on which [`load`] or [`Self::ensure`] has put the programs, or has tried to.
    #[must_use]
    pub fn runs_on(&self, link: &str) -> bool {
        self.config.links.uplinks.contains(link)
    }

    /// What claims select, for the main loop.
    ///
    /// # Errors
    /// As [`UplinkGuard::open`].
    pub fn uplink_guard(&self) -> Result<UplinkGuard, BpfError> {
        UplinkGuard::open(&self.config.pin_dir, self.config.layout)
    }

    /// Makes `links` the ones that the programs run on: repairs what was detached, attaches to what
    /// is new, detaches from what is gone. Returns how many attachments had to be changed, 0 where
    /// all was well. To be called when links or addresses change, and now and then.
    ///
    /// # Errors
    /// The first interface that could not be served; the others are.
    pub fn ensure(&mut self, links: &NodeLinks) -> Result<u32, BpfError> {
        let is_new = !links.uplinks.is_subset(&self.config.links.uplinks);
        let knew_guarded = self.config.links.guarded.is_some();
        self.config.links = links.clone();
        if is_new {
            uplink_guard::listen_again(&self.directory())?;
        }
        let Changes { attached, reattached, detached } = self.attach_all(&[], knew_guarded)?;
        if reattached && !is_new {
            // Whoever spoke while they were away was not heard.
            uplink_guard::listen_again(&self.directory())?;
        }
        Ok(attached + detached)
    }

    fn directory(&self) -> PathBuf {
        pins::layout_directory(&self.config.pin_dir, self.config.layout)
    }

    fn attach_all(&mut self, older: &[PathBuf], knew_guarded: bool) -> Result<Changes, BpfError> {
        let links = self.config.links.clone();
        let directory = self.directory();
        let tunnel = index(&links.tunnel)?;
        self.write_config(&directory, tunnel)?;
        let mut changes = Changes::default();
        let mut failed = None;
        let mut wanted = Vec::new();
        for hook in HOOKS {
            for name in &links.of(hook.place) {
                // Of an earlier process: it is replaced, and was never away.
                let mut was_there = false;
                let attached = index(name).and_then(|index| {
                    let pin = hook.pin_name(index);
                    was_there = hook.place == ProgramPlace::Guarded
                        && !knew_guarded
                        && directory.join(&pin).exists();
                    wanted.push(pin);
                    self.attach_one(hook, (name, index), &directory, older)
                });
                match attached {
                    Ok(new) => {
                        changes.attached += u32::from(new);
                        changes.reattached |=
                            new && !was_there && hook.place != ProgramPlace::Tunnel;
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        changes.detached = attach::detach_others(&directory, &wanted, links.guarded.is_some())?;
        if self.clsact && links.guarded.is_some() {
            detach_other_filters(&links)?;
        }
        Ok(changes)
    }

    fn attach_one(
        &mut self,
        hook: ProgramHook,
        link: (&str, u32),
        directory: &Path,
        older: &[PathBuf],
    ) -> Result<bool, BpfError> {
        if !is_ethernet(link.0)? {
            return Err(BpfError::NotEthernet(link.0.to_owned()));
        }
        let program = classifier(&mut self.ebpf, hook)?;
        if !self.clsact {
            match attach::attach_tcx(program, hook, link, directory, older) {
                // The kernel does not know the attach type: before 6.6.
                Err(BpfError::Program { source, .. })
                    if self.config.attach == AttachMode::Auto
                        && program_errno(&source) == Some(libc::EINVAL) =>
                {
                    self.clsact = true;
                }
                done => return done,
            }
        }
        attach::attach_clsact(program, hook, link.0)
    }

    fn write_config(&mut self, directory: &Path, tunnel: u32) -> Result<(), BpfError> {
        let links = &self.config.links;
        let config = BpfNodeConfig {
            endpoints: links.endpoints.clone(),
            tunnel,
            vni: self.config.vni,
            underlay_mtu: links.underlay_mtu,
        };
        let mut map: Array<_, [u8; CONFIG]> = pins::array(directory, pins::CONFIG)?;
        map.set(0, codec::encode_config(&config), 0).map_err(BpfError::map(pins::CONFIG))
    }
}

/// Takes away what claims selected when an agent of this version or a later one was last here, where one of an earlier
/// version, which leaves that alone, has been here since: pods may have other pods' addresses by now. And what says that
/// the rules give evidence, where those of an earlier version may be there.
fn forget_stale_guard(directory: &Path) -> Result<(), BpfError> {
    let mut guards = 0;
    if directory.join(pins::CONFIG).exists() {
        let map: Array<_, [u8; CONFIG]> = pins::array(directory, pins::CONFIG)?;
        guards = codec::decode_guards(&map.get(&0, 0).map_err(BpfError::map(pins::CONFIG))?);
    }
    let mut stale = Vec::new();
    if guards < codec::GIVES_EVIDENCE {
        stale.push(pins::ACTS_FROM);
    }
    if guards < codec::KEEPS_SOURCES {
        stale.extend([pins::POD_SOURCES, pins::SELECTED_DESTINATIONS]);
    }
    for name in stale {
        match fs::remove_file(directory.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BpfError::pin(directory.join(name))(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The verifier gives up with EAGAIN whenever a signal is pending (kernel/bpf/verifier.c).
const LOAD_ATTEMPTS: u32 = 10;

fn load_program(ebpf: &mut Ebpf, hook: ProgramHook) -> Result<(), BpfError> {
    let program = classifier(ebpf, hook)?;
    for _ in 1..LOAD_ATTEMPTS {
        match program.load() {
            Err(error) if program_errno(&error) == Some(libc::EAGAIN) => {}
            loaded => return loaded.map_err(hook.failed("")),
        }
    }
    program.load().map_err(hook.failed(""))
}

fn classifier(ebpf: &mut Ebpf, hook: ProgramHook) -> Result<&mut SchedClassifier, BpfError> {
    let failed = |source| BpfError::Program { program: hook.program, link: String::new(), source };
    ebpf.program_mut(hook.program)
        .ok_or_else(|| failed(aya::programs::ProgramError::NotLoaded))?
        .try_into()
        .map_err(failed)
}

fn index(link: &str) -> Result<u32, BpfError> {
    if_nametoindex(link).map_err(|_| BpfError::NoLink(link.to_owned()))
}

fn is_ethernet(link: &str) -> Result<bool, BpfError> {
    let all = getifaddrs().map_err(|error| BpfError::pin(link)(error.into()))?;
    Ok(all
        .filter(|interface| interface.interface_name == link)
        .filter_map(|interface| interface.address)
        .any(|address| {
            address.as_link_addr().is_some_and(|mac| mac.hatype() == libc::ARPHRD_ETHER)
        }))
}

fn detach_other_filters(links: &NodeLinks) -> Result<(), BpfError> {
    let Ok(all) = if_nameindex() else { return Ok(()) };
    for link in all.iter() {
        let name = link.name().to_string_lossy();
        let is_ours = |links: &BTreeSet<String>| links.contains(name.as_ref());
        if name != links.tunnel && !is_ours(&links.uplinks) && !is_ours(&links.guarded_alone()) {
            attach::detach_clsact(&name)?;
        }
    }
    Ok(())
}

fn make_directory(pin_dir: &Path, directory: &Path) -> Result<(), BpfError> {
    let parent = pin_dir.parent().unwrap_or(pin_dir);
    let kind = statfs(if pin_dir.exists() { pin_dir } else { parent });
    let kind = kind.map_err(|error| BpfError::pin(pin_dir)(error.into()))?;
    if kind.filesystem_type() != BPF_FS {
        return Err(BpfError::NotBpfFs(pin_dir.to_owned()));
    }
    fs::create_dir_all(directory).map_err(BpfError::pin(directory))
}

/// Attachments first: a map that no program reads any more goes with its pin.
fn remove_pins(directory: &Path) -> Result<(), BpfError> {
    attach::detach_others(directory, &[], true)?;
    for name in pins::entries(directory)? {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(BpfError::pin(&path))?;
    }
    fs::remove_dir(directory).map_err(BpfError::pin(directory))
}
