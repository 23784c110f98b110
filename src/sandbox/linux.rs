//! A process that Linux confines: what it may do is fixed before its first instruction.
//!
//! The process is made by `clone` with namespaces of its own and, before it becomes the program, gives up in this order:
//! the view of a writable file system (mount namespace), most of its resources (limits), files outside its folder (Landlock), and
//! most system calls (seccomp). What the kernel or the machine's set-up does not allow is left out and said in [`Walls`].
//!
//! A trap: between `clone` and `execve` the child shares this program's memory, while other threads run. It may make system calls
//! and nothing else; everything it needs is prepared before.

use super::Limits;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, Scope,
};
use libc::{c_char, c_int, c_long, c_ulong, c_void, pid_t};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which walls stand here; a missing one says why.
#[derive(Debug, Clone)]
pub(super) struct Walls {
    namespaces: Result<(), String>,
    mounts: Result<(), String>,
    landlock: Result<(), String>,
    seccomp: Result<BpfProgram, String>,
}

/// What is to be run.
pub(super) struct Program<'a> {
    pub executable: &'a Path,
    pub arguments: &'a [&'a str],
    pub environment: &'a [String],
    /// Files and folders that may be read.
    pub readable: &'a [PathBuf],
    /// Files that may be run.
    pub runnable: &'a [PathBuf],
    /// The folder that is the program's own where it has none in memory; its working folder is `box` therein.
    pub folder: Option<&'a Path>,
    pub limits: &'a Limits,
    /// Standard input, output and error output.
    pub files: [BorrowedFd<'a>; 3],
}

/// A confined process; dropping it ends it and everything that it started.
#[derive(Debug)]
pub(super) struct Child {
    pid: pid_t,
    ended: Option<Ended>,
}

/// How a process came to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub cpu_seconds: f64,
}

/// What the child was doing when the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
enum Step {
    Clone = 1,
    UserMap,
    Mount,
    Limits,
    Files,
    Landlock,
    Seccomp,
    Execute,
}

impl Walls {
    /// All of them that this kernel knows by name; whether they can be put up shows when a process is started.
    pub fn planned() -> Self {
        Self { namespaces: Ok(()), mounts: Ok(()), landlock: Ok(()), seccomp: filter() }
    }

    /// None, for a machine on which the user has allowed that.
    pub fn none() -> Self {
        let why = || Err("switched off".to_string());
        Self {
            namespaces: why(),
            mounts: why(),
            landlock: why(),
            seccomp: Err("switched off".into()),
        }
    }

    /// All but those of these names, as on a machine that lacks them.
    #[cfg(test)]
    pub fn without(mut self, names: &[&str]) -> Self {
        for name in names {
            let why = "left out".to_string();
            match *name {
                "namespaces" => {
                    self.namespaces = Err(why.clone());
                    self.mounts = Err(why);
                }
                "mounts" => self.mounts = Err(why),
                "landlock" => self.landlock = Err(why),
                "seccomp" => self.seccomp = Err(why),
                _ => panic!("no wall is called {name}"),
            }
        }
        self
    }

    /// One phrase for each wall: its name, and why it is missing if it is.
    pub fn describe(&self) -> Vec<(&'static str, Option<&str>)> {
        fn missing<T>(wall: &Result<T, String>) -> Option<&str> {
            wall.as_ref().err().map(String::as_str)
        }
        vec![
            ("namespaces (user, process, network, mount, IPC)", missing(&self.namespaces)),
            ("read-only file system", missing(&self.mounts)),
            ("Landlock", missing(&self.landlock)),
            ("seccomp", missing(&self.seccomp)),
        ]
    }

    /// Whether a process has a folder of its own that is not on a disk.
    pub fn have_a_folder(&self) -> bool {
        self.mounts.is_ok()
    }

    /// Starts `program`; a wall that cannot be put up is taken off the plan, so that a later start does not try it.
    pub fn probe(&mut self, program: &Program) -> io::Result<Child> {
        loop {
            let (step, error) = match self.patiently(program) {
                Ok(child) => return Ok(child),
                Err((step, error)) if is_shortage(&error) => return Err(explained(step, error)),
                Err(refusal) => refusal,
            };
            let why = format!("{step:?}: {error}").to_lowercase();
            match step {
                Step::Clone | Step::UserMap if self.namespaces.is_ok() => {
                    self.namespaces = Err(why);
                    self.mounts = Err("needs namespaces".into());
                }
                Step::Mount if self.mounts.is_ok() => self.mounts = Err(why),
                Step::Landlock if self.landlock.is_ok() => self.landlock = Err(why),
                Step::Seccomp if self.seccomp.is_ok() => self.seccomp = Err(why),
                _ => return Err(explained(step, error)),
            }
        }
    }

    /// Starts `program` behind all walls that stand here.
    pub fn start(&self, program: &Program) -> io::Result<Child> {
        self.patiently(program).map_err(|(step, error)| explained(step, error))
    }

    /// A machine may be short of processes or memory for a moment.
    fn patiently(&self, program: &Program) -> Result<Child, (Step, io::Error)> {
        for wait in [5, 50, 500] {
            match self.try_start(program) {
                Err((_, error)) if is_shortage(&error) => {
                    std::thread::sleep(std::time::Duration::from_millis(wait));
                }
                other => return other,
            }
        }
        self.try_start(program)
    }

    fn try_start(&self, program: &Program) -> Result<Child, (Step, io::Error)> {
        let ruleset = match self.landlock {
            Ok(()) => {
                let own = program.folder.filter(|_| !self.have_a_folder());
                Some(ruleset(program, own).map_err(|e| (Step::Landlock, e))?)
            }
            Err(_) => None,
        };
        let plan = Plan::new(self, program, ruleset).map_err(|e| (Step::Limits, e))?;
        plan.start()
    }
}

fn is_shortage(error: &io::Error) -> bool {
    [libc::EAGAIN, libc::ENOMEM, libc::ENOSPC].contains(&error.raw_os_error().unwrap_or(0))
}

/// The refusal of a step, with its cause where that is known.
fn explained(step: Step, error: io::Error) -> io::Error {
    let cause = match (step, error.raw_os_error()) {
        (Step::Clone, Some(libc::EAGAIN)) => "; no more processes may be started (ulimit -u)",
        (Step::Clone, Some(libc::ENOSPC)) => {
            "; no more namespaces may be made (sysctl user.max_user_namespaces)"
        }
        (_, Some(libc::EMFILE)) => "; no more files may be opened (ulimit -n)",
        _ => "",
    };
    let step = format!("{step:?}").to_lowercase();
    io::Error::new(error.kind(), format!("{step}: {error}{cause}"))
}

impl Child {
    /// How long it has waited for a processor.
    pub fn waited(&self) -> std::time::Duration {
        let times = std::fs::read_to_string(format!("/proc/{}/schedstat", self.pid));
        let waited = times.ok().and_then(|times| times.split(' ').nth(1)?.parse().ok());
        std::time::Duration::from_nanos(waited.unwrap_or(0))
    }

    /// How it ended, if it has.
    pub fn poll(&mut self) -> Option<Ended> {
        self.wait_with(libc::WNOHANG)
    }

    /// Ends it, with all that it started.
    pub fn end(&mut self) -> Ended {
        if let Some(ended) = self.poll() {
            return ended;
        }
        // SAFETY: plain system calls; the process has not been waited for, so the number is still its own.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
        }
        self.wait_with(0).unwrap_or(Ended { code: None, signal: None, cpu_seconds: 0.0 })
    }

    fn wait_with(&mut self, flags: c_int) -> Option<Ended> {
        if self.ended.is_some() {
            return self.ended;
        }
        let mut status = 0;
        // SAFETY: rusage is plain numbers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        loop {
            // SAFETY: both pointers are to live values of the right type.
            let got = unsafe { libc::wait4(self.pid, &mut status, flags, &mut usage) };
            if got == self.pid {
                break;
            }
            if got == 0 {
                return None;
            }
            if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                return None;
            }
        }
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        self.ended = Some(Ended {
            code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            cpu_seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        });
        self.ended
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where a process has its own folder, a file system in memory that only it sees. Everywhere there is such a place, and processes
/// outside are none of the program's business.
const OWN: &str = "/proc";

/// A limit that can be set: no higher than what this process may have. What a grade depends on, `needed` names, and less is refused.
fn limit(
    resource: libc::__rlimit_resource_t,
    value: u64,
    needed: Option<&str>,
) -> io::Result<(libc::__rlimit_resource_t, libc::rlimit)> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live value of the right type.
    if unsafe { libc::getrlimit(resource, &mut now) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match needed {
        Some(what) if now.rlim_max < value => Err(io::Error::other(format!(
            "code is given {value} {what}, and no more than {} are allowed here",
            now.rlim_max
        ))),
        _ => {
            let value = value.min(now.rlim_max);
            Ok((resource, libc::rlimit { rlim_cur: value, rlim_max: value }))
        }
    }
}

/// Everything that the child needs between `clone` and `execve`, in plain memory.
struct Plan {
    flags: c_int,
    user_map: CString,
    group_map: CString,
    mounts: bool,
    /// The program's working folder.
    inside: CString,
    limits: Vec<(libc::__rlimit_resource_t, libc::rlimit)>,
    files: [OwnedFd; 3],
    ruleset: Option<OwnedFd>,
    filter: BpfProgram,
    executable: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

/// `Plan` with the arrays of pointers that `execve` wants.
struct Prepared<'a> {
    plan: &'a Plan,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    refused: *mut (c_int, c_int),
}

impl Plan {
    fn new(walls: &Walls, program: &Program, ruleset: Option<OwnedFd>) -> io::Result<Self> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::from);
        // SAFETY: these calls cannot fail.
        let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
        let mut flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        if walls.namespaces.is_ok() {
            flags |= libc::CLONE_NEWUSER
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNET
                | libc::CLONE_NEWNS
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWUTS;
        }
        // Numbers from 10 on, so that putting them in the places 0, 1 and 2 overwrites none of them.
        let high = |fd: RawFd| -> io::Result<OwnedFd> {
            // SAFETY: the descriptor is open; the new one is ours.
            let new = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 10) };
            if new < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: just made, owned by nobody else.
            Ok(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(new) })
        };
        let [input, output, errors] = program.files;
        let limits = &program.limits;
        let mut limits = vec![
            limit(libc::RLIMIT_AS, limits.memory_bytes, Some("bytes of memory (ulimit -v)"))?,
            limit(libc::RLIMIT_CPU, limits.cpu_seconds, Some("seconds of computing (ulimit -t)"))?,
            limit(libc::RLIMIT_FSIZE, limits.file_bytes, Some("bytes of a file (ulimit -f)"))?,
            limit(libc::RLIMIT_NOFILE, 64, None)?,
            limit(libc::RLIMIT_CORE, 0, None)?,
        ];
        if walls.namespaces.is_ok() {
            // Outside a user namespace of its own the limit would count all of the user's processes.
            limits.push(limit(libc::RLIMIT_NPROC, 64, None)?);
        }
        let folder = if walls.have_a_folder() {
            PathBuf::from(OWN)
        } else {
            program.folder.unwrap_or(Path::new(OWN)).join("box")
        };
        Ok(Self {
            flags,
            // Any number but 0 does: what counts is that the program holds no privilege after `execve`.
            user_map: text(format!("65534 {user} 1").as_bytes())?,
            group_map: text(format!("65534 {group} 1").as_bytes())?,
            mounts: walls.mounts.is_ok(),
            inside: text(folder.as_os_str().as_bytes())?,
            limits,
            files: [high(input.as_raw_fd())?, high(output.as_raw_fd())?, high(errors.as_raw_fd())?],
            ruleset: match ruleset {
                Some(fd) => Some(high(fd.as_raw_fd())?),
                None => None,
            },
            filter: walls.seccomp.clone().unwrap_or_default(),
            executable: text(program.executable.as_os_str().as_bytes())?,
            arguments: std::iter::once(Ok(program.executable.as_os_str().as_bytes()))
                .chain(program.arguments.iter().map(|a| Ok(a.as_bytes())))
                .map(|bytes: io::Result<&[u8]>| text(bytes?))
                .collect::<io::Result<_>>()?,
            environment: program
                .environment
                .iter()
                .map(|pair| text(pair.as_bytes()))
                .collect::<io::Result<_>>()?,
        })
    }

    fn start(self) -> Result<Child, (Step, io::Error)> {
        const STACK: usize = 128 << 10;
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
        };
        let mut refused = (0, 0);
        let refused: *mut (c_int, c_int) = &raw mut refused;
        let prepared = Prepared {
            plan: &self,
            arguments: pointers(&self.arguments),
            environment: pointers(&self.environment),
            refused,
        };
        let mut stack = vec![0u128; STACK / 16];
        // SAFETY: `sigset_t` is plain memory which sigfillset fills.
        let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
        let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: the child runs `enter` on a stack of its own, while this thread is suspended (CLONE_VFORK) and signals are held
        // back; it makes system calls only, and writes only to its stack and to `refused`, all of which outlive it.
        let pid = unsafe {
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let pid = libc::clone(
                enter,
                stack.as_mut_ptr().add(STACK / 16).cast::<c_void>(),
                self.flags,
                (&raw const prepared).cast_mut().cast::<c_void>(),
            );
            let error = io::Error::last_os_error();
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            if pid < 0 {
                return Err((Step::Clone, error));
            }
            pid
        };
        let mut child = Child { pid, ended: None };
        // SAFETY: the child has become another program or has ended, so nothing else writes here.
        let (step, number) = unsafe { std::ptr::read_volatile(refused) };
        if step == 0 {
            return Ok(child);
        }
        child.end();
        let step = [
            Step::Clone,
            Step::UserMap,
            Step::Mount,
            Step::Limits,
            Step::Files,
            Step::Landlock,
            Step::Seccomp,
        ]
        .into_iter()
        .find(|s| *s as c_int == step)
        .unwrap_or(Step::Execute);
        Err((step, io::Error::from_raw_os_error(number)))
    }
}

/// The child's way from `clone` to `execve`.
extern "C" fn enter(prepared: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to a live `Prepared`.
    let prepared = unsafe { &*prepared.cast_const().cast::<Prepared>() };
    // SAFETY: see `Plan::start`.
    let step = unsafe { confine(prepared) };
    // SAFETY: errno of the call that failed; `refused` outlives the child.
    unsafe {
        *prepared.refused = (step as c_int, *libc::__errno_location());
        libc::_exit(127)
    }
}

/// Gives up what the plan says and becomes the program. Returns only the step that failed.
///
/// # Safety
/// Runs in a child that shares its parent's memory: system calls only.
unsafe fn confine(prepared: &Prepared) -> Step {
    let plan = prepared.plan;
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong);
        libc::setsid();
        if plan.flags & libc::CLONE_NEWUSER != 0 {
            for (file, text) in [
                (c"/proc/self/setgroups", c"deny"),
                (c"/proc/self/uid_map", plan.user_map.as_c_str()),
                (c"/proc/self/gid_map", plan.group_map.as_c_str()),
            ] {
                let fd = libc::open(file.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                let bytes = text.to_bytes();
                if fd < 0 || libc::write(fd, bytes.as_ptr().cast(), bytes.len()) < 0 {
                    return Step::UserMap;
                }
                libc::close(fd);
            }
        }
        if plan.mounts {
            #[repr(C)]
            struct MountAttr {
                set: u64,
                clear: u64,
                propagation: u64,
                user_namespace: u64,
            }
            const RDONLY_NOSUID: u64 = 1 | 2;
            let attr = MountAttr {
                set: RDONLY_NOSUID,
                clear: 0,
                propagation: libc::MS_PRIVATE,
                user_namespace: 0,
            };
            const AT_RECURSIVE: c_int = 0x8000;
            if libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                c"/".as_ptr(),
                AT_RECURSIVE,
                &raw const attr,
                std::mem::size_of::<MountAttr>(),
            ) != 0
            {
                return Step::Mount;
            }
            let tmpfs = |at: &std::ffi::CStr, options: &std::ffi::CStr| {
                libc::mount(
                    c"none".as_ptr(),
                    at.as_ptr(),
                    c"tmpfs".as_ptr(),
                    libc::MS_NOSUID | libc::MS_NODEV,
                    options.as_ptr().cast(),
                )
            };
            if tmpfs(&plan.inside, c"size=16m,nr_inodes=1000,mode=700") != 0 {
                return Step::Mount;
            }
        }
        for (resource, limit) in &plan.limits {
            if libc::setrlimit(*resource, limit) != 0 {
                return Step::Limits;
            }
        }
        if libc::chdir(plan.inside.as_ptr()) != 0 {
            return Step::Files;
        }
        libc::umask(0o077);
        for (place, file) in plan.files.iter().enumerate() {
            if libc::dup2(file.as_raw_fd(), place as c_int) < 0 {
                return Step::Files;
            }
        }
        // What else is open is closed by `execve`; where the call is not known, everything of ours is marked so already.
        const CLOSE_RANGE_CLOEXEC: c_long = 4;
        libc::syscall(
            libc::SYS_close_range,
            3 as c_long,
            c_long::from(u32::MAX),
            CLOSE_RANGE_CLOEXEC,
        );
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Step::Seccomp;
        }
        if let Some(ruleset) = &plan.ruleset
            && plan.mounts
            && !allow_own(ruleset.as_raw_fd())
        {
            return Step::Landlock;
        }
        if let Some(ruleset) = &plan.ruleset
            && libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) != 0
        {
            return Step::Landlock;
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        if !plan.filter.is_empty() {
            let filter = libc::sock_fprog {
                len: plan.filter.len() as u16,
                filter: plan.filter.as_ptr().cast_mut().cast(),
            };
            if libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter)
                != 0
            {
                return Step::Seccomp;
            }
        }
        libc::execve(
            plan.executable.as_ptr(),
            prepared.arguments.as_ptr(),
            prepared.environment.as_ptr(),
        );
        Step::Execute
    }
}

/// Allows everything but running programs in the working folder, which is a file system that only the child sees, so that no rule made
/// before could be about it.
///
/// # Safety
/// System calls only, as in [`confine`].
unsafe fn allow_own(ruleset: RawFd) -> bool {
    #[repr(C, packed)]
    struct PathBeneath {
        allowed: u64,
        parent: i32,
    }
    const RULE_PATH_BENEATH: c_long = 1;
    const EXECUTE: u64 = 1;
    // the rights that the versions 5, 3, 2 and 1 of Landlock know
    const RIGHTS: [u64; 4] = [0xffff, 0x7fff, 0x3fff, 0x1fff];
    unsafe {
        let parent = libc::open(c".".as_ptr(), libc::O_PATH | libc::O_CLOEXEC);
        let allowed = RIGHTS.iter().any(|rights| {
            let rule = PathBeneath { allowed: rights & !EXECUTE, parent };
            let rule = &raw const rule;
            libc::syscall(libc::SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, rule, 0) == 0
        });
        libc::close(parent);
        allowed
    }
}

/// Files outside may be read where the program needs them, and nothing else; all of `own` is the program's.
fn ruleset(program: &Program, own: Option<&Path>) -> io::Result<OwnedFd> {
    let refused = |e: landlock::RulesetError| io::Error::other(e.to_string());
    let abi = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))
        .and_then(|r| r.handle_access(AccessNet::from_all(abi)))
        .and_then(|r| r.scope(Scope::from_all(abi)))
        .and_then(|r| r.create())
        .map_err(refused)?;
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut allow = |path: &Path, access: BitFlags<AccessFs>| -> io::Result<()> {
        let Ok(fd) = PathFd::new(path) else {
            return Ok(()); // what is not there needs no permission
        };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(abi) };
        (&mut rules).add_rule(PathBeneath::new(fd, access)).map(|_| ()).map_err(refused)
    };
    for path in program.readable {
        allow(path, read)?;
    }
    for path in program.runnable {
        allow(path, read | AccessFs::Execute)?;
    }
    for device in ["/dev/null", "/dev/zero", "/dev/urandom"] {
        allow(Path::new(device), AccessFs::ReadFile | AccessFs::WriteFile)?;
    }
    if let Some(own) = own {
        allow(own, AccessFs::from_all(abi) & !AccessFs::Execute)?;
    }
    let fd: Option<OwnedFd> = rules.into();
    fd.ok_or_else(|| io::Error::other("this kernel has no Landlock"))
}

/// The system calls that a Python program needs. Everything else is answered "not implemented": sockets, new processes, signals to
/// others, mounts, tracing.
fn filter() -> Result<BpfProgram, String> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(|_| format!("not known for {}", std::env::consts::ARCH))?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        SYSTEM_CALLS.iter().map(|call| (*call, vec![])).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend(OLD_SYSTEM_CALLS.iter().map(|call| (*call, vec![])));
    let when = |argument: u8, operation: SeccompCmpOp, value: u64| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operation, value)
            .and_then(|condition| SeccompRule::new(vec![condition]))
            .map_err(|error| error.to_string())
    };
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    rules.insert(libc::SYS_prlimit64, vec![when(0, SeccompCmpOp::Eq, 0)?]);
    // On a pair of sockets only, not to an address.
    rules.insert(libc::SYS_sendto, vec![when(4, SeccompCmpOp::Eq, 0)?]);
    let mut asked = Vec::new();
    for command in [
        libc::TCGETS,
        libc::FIONREAD,
        libc::FIOCLEX,
        libc::FIONCLEX,
        libc::FIONBIO,
        libc::TIOCGWINSZ,
    ] {
        asked.push(when(1, SeccompCmpOp::Eq, command)?);
    }
    rules.insert(libc::SYS_ioctl, asked);
    let mut named = Vec::new();
    for option in [libc::PR_SET_NAME, libc::PR_GET_NAME] {
        named.push(when(0, SeccompCmpOp::Eq, option as u64)?);
    }
    rules.insert(libc::SYS_prctl, named);
    SeccompFilter::new(rules, SeccompAction::Errno(libc::ENOSYS as u32), SeccompAction::Allow, arch)
        .and_then(BpfProgram::try_from)
        .map_err(|error| error.to_string())
}

const SYSTEM_CALLS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_chdir,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_execve,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getitimer,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mkdirat,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_read,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_renameat2,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_sendfile,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setitimer,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_uname,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD_SYSTEM_CALLS: &[i64] = &[
    libc::SYS_access,
    libc::SYS_alarm,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_creat,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
];
