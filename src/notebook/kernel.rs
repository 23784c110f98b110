//! A Jupyter kernel that runs: started, asked to run cells, stopped.

use super::document::CellOutput;
use super::wire::{Kind, Socket, signature};
use crate::error::{Error, Result};
use crate::interruption;
use serde_json::{Map, Value, json};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long a kernel may take to start on a machine that does much else.
const START: Duration = Duration::from_secs(120);
/// Printed text comes by another way than the word that a cell is done, and may come a moment later.
const LATE: Duration = Duration::from_millis(60);
/// How long work may take to end after an interrupt: it asks at each step.
const HEED: Duration = Duration::from_secs(20);
const MARK: &[u8] = b"<IDS|MSG>";

/// A kernel and its connections. It ends when this is dropped.
#[derive(Debug)]
pub struct Kernel {
    process: Child,
    /// The file that tells it its ports and key.
    connection: PathBuf,
    key: String,
    shell: Socket,
    published: Receiver<Message>,
    /// Both connections, to be closed under those who read from them.
    streams: [TcpStream; 2],
    /// The port at which it is told to end.
    control: u16,
    asked: usize,
    /// From the start of the process until it answered.
    pub ready: Duration,
}

#[derive(Debug)]
struct Message {
    kind: String,
    parent: String,
    content: Value,
}

impl Kernel {
    /// Starts `command` (program and arguments in which `{connection_file}` stands for the file that a kernel is given) in `folder`, and waits until it answers.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer within two minutes.
    pub fn start(
        command: &[String],
        environment: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let Some((program, arguments)) = command.split_first() else {
            return Err(Error::invalid("kernel", "has no command"));
        };
        let began = Instant::now();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("unforget-kernel-{}-{number}.json", std::process::id());
        let connection = std::env::temp_dir().join(name);
        let key = key();
        let ports = ports()?;
        let file = json!({
            "transport": "tcp", "ip": "127.0.0.1", "key": key, "signature_scheme": "hmac-sha256",
            "shell_port": ports[0], "iopub_port": ports[1], "control_port": ports[2], "stdin_port": ports[3], "hb_port": ports[4],
        });
        write_for_us_alone(&connection, &file.to_string())?;
        let place = connection.to_string_lossy();
        let process = Command::new(program)
            .args(arguments.iter().map(|argument| argument.replace("{connection_file}", &place)))
            .envs(environment.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut process = process.map_err(Error::io("starting the kernel", Path::new(program)))?;
        let connected = connect(&mut process, &ports, began, Path::new(program));
        let (shell, mut heard) = match connected {
            Ok(sockets) => sockets,
            Err(error) => {
                end(&mut process);
                let _ = std::fs::remove_file(&connection);
                return Err(error);
            }
        };
        let handle =
            |socket: &Socket| socket.handle().map_err(Error::library("listening to the kernel"));
        let streams = [handle(&shell)?, handle(&heard)?];
        // all that is needed is published; what the shell answers is read so that it does not pile up
        let mut answers = handle(&shell)?;
        std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        let (send, published) = channel();
        std::thread::spawn(move || {
            while let Ok(parts) = heard.receive() {
                let Some(message) = Message::parse(&parts) else {
                    continue;
                };
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let mut kernel = Self {
            process,
            connection,
            key,
            shell,
            published,
            streams,
            control: ports[2],
            asked: 0,
            ready: Duration::ZERO,
        };
        // what is published before the kernel knows of its listener is lost: ask until something is heard
        loop {
            let asked = kernel.ask("kernel_info_request", &json!({}))?;
            match kernel.published.recv_timeout(Duration::from_millis(100)) {
                Ok(_) => {
                    kernel.until_idle(&asked, Duration::from_secs(10), &mut |_| {})?;
                    kernel.ready = began.elapsed();
                    return Ok(kernel);
                }
                Err(_) if began.elapsed() < START && kernel.lives() => continue,
                Err(_) => return Err(kernel.gone("did not answer")),
            }
        }
    }

    /// Runs a cell and waits until it is done; `limit` is the longest time. `hear` is told of every output as it comes; printed text comes by lines.
    ///
    /// # Errors
    /// The kernel ends, somebody asks to stop, or the time is over: then the cell is interrupted, and what it computed is kept. A cell that fails is no error here: it has an [`CellOutput::Failed`].
    pub fn execute(
        &mut self,
        code: &str,
        limit: Duration,
        hear: &mut dyn FnMut(&CellOutput),
    ) -> Result<Vec<CellOutput>> {
        while self.published.try_recv().is_ok() {}
        let content = json!({
            "code": code, "silent": false, "store_history": false, "allow_stdin": false, "stop_on_error": true, "user_expressions": {},
        });
        let asked = self.ask("execute_request", &content)?;
        let mut outputs: Vec<CellOutput> = Vec::new();
        self.until_idle(&asked, limit, &mut |message| {
            let Some(output) = message.output() else {
                return;
            };
            hear(&output);
            match (outputs.last_mut(), output) {
                (
                    Some(CellOutput::Printed { error, text }),
                    CellOutput::Printed { error: other, text: more },
                ) if *error == other => {
                    text.push_str(&more);
                }
                (_, output) => outputs.push(output),
            }
        })?;
        Ok(outputs)
    }

    fn until_idle(
        &mut self,
        asked: &str,
        limit: Duration,
        hear: &mut dyn FnMut(&Message),
    ) -> Result<()> {
        let began = Instant::now();
        let (mut idle, mut interrupted) = (None, None);
        let over = || {
            let problem = format!("has not finished within {} s", limit.as_secs());
            Err(Error::invalid("cell", problem))
        };
        loop {
            let wait = match idle {
                Some(since) if Instant::now() >= since + LATE && interrupted.is_some() => {
                    return over();
                }
                Some(since) if Instant::now() >= since + LATE => return Ok(()),
                Some(_) => LATE,
                None => Duration::from_millis(300),
            };
            match self.published.recv_timeout(wait) {
                Ok(message) if message.parent == asked => {
                    if message.kind == "status" && message.content["execution_state"] == "idle" {
                        idle = Some(Instant::now());
                    }
                    hear(&message);
                }
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if idle.is_some() => {}
                Err(_) if !self.lives() => {
                    return Err(self.gone("ended; restart it; if that does not help, `unforget notebook --prepare` builds again what cells see"));
                }
                Err(_) if interrupted.is_some_and(|since: Instant| since.elapsed() > HEED) => {
                    return over();
                }
                Err(_) if began.elapsed() > limit && interrupted.is_none() => {
                    self.interrupt();
                    interrupted = Some(Instant::now());
                }
                Err(_) => interruption::check()?,
            }
        }
    }

    /// Interrupts what its cells do, as an editor does: work that asks [`interruption::check`] ends, variables stay.
    fn interrupt(&self) {
        #[cfg(unix)]
        signal(self.process.id(), libc::SIGINT);
    }

    /// Processor time that the kernel and everything it started have used, and their memory now in bytes; `None` where the system does not say (it is
    /// read from `/proc`).
    pub fn used(&self) -> Option<(Duration, u64)> {
        // Linux counts in hundredths of a second wherever it runs Rust
        const TICK: Duration = Duration::from_millis(10);
        const PAGE: u64 = 4096;
        let family = family(self.process.id())?;
        let mut ticks = 0;
        let mut pages = 0;
        for process in family {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
            // after the name in brackets; man 5 proc counts from 1, the state being the third
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let number =
                |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
            // of itself and of the children that ended
            ticks += (14..=17).filter_map(number).sum::<u64>();
            pages += number(24)?;
        }
        Some((TICK * u32::try_from(ticks).ok()?, pages * PAGE))
    }

    fn lives(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    fn gone(&self, problem: &str) -> Error {
        Error::invalid("kernel", problem)
    }

    fn ask(&mut self, kind: &str, content: &Value) -> Result<String> {
        let (id, message) = self.message(kind, content);
        let parts: Vec<&[u8]> = message.iter().map(Vec::as_slice).collect();
        let sent = self.shell.send(&parts);
        sent.map_err(Error::library("asking the kernel"))?;
        Ok(id)
    }

    /// A signed message and its number.
    fn message(&mut self, kind: &str, content: &Value) -> (String, Vec<Vec<u8>>) {
        self.asked += 1;
        let session = &self.key[..16];
        let id = format!("{session}-{}", self.asked);
        let header = json!({
            "msg_id": id, "msg_type": kind, "session": session, "username": "unforget", "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        });
        let parts = [header.to_string(), "{}".into(), "{}".into(), content.to_string()]
            .map(String::into_bytes);
        let signed: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let signature = signature(self.key.as_bytes(), &signed).into_bytes();
        (id, [MARK.to_vec(), signature].into_iter().chain(parts).collect())
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        // asked kindly it ends the process of its cells and removes their folder
        let cells: Vec<u32> = family(self.process.id()).unwrap_or_default();
        let (_, parts) = self.message("shutdown_request", &json!({"restart": false}));
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let asked = Socket::connect(self.control, Kind::Dealer).and_then(|mut control| {
            control.send(&parts)?;
            Ok(control)
        });
        if asked.is_ok() {
            let began = Instant::now();
            while self.lives() && began.elapsed() < Duration::from_secs(3) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        if self.lives() {
            end(&mut self.process);
            cells.into_iter().skip(1).for_each(kill);
        }
        for stream in &self.streams {
            // whoever reads from it ends
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = std::fs::remove_file(&self.connection);
    }
}

impl Message {
    fn parse(parts: &[Vec<u8>]) -> Option<Self> {
        let mark = parts.iter().position(|part| part == MARK)?;
        let json = |place: usize| -> Option<Value> {
            serde_json::from_slice(parts.get(mark + place)?).ok()
        };
        let (header, parent) = (json(2)?, json(3)?);
        Some(Self {
            kind: header["msg_type"].as_str()?.to_owned(),
            parent: parent["msg_id"].as_str().unwrap_or_default().to_owned(),
            content: json(5)?,
        })
    }

    fn output(&self) -> Option<CellOutput> {
        let Value::Object(content) = &self.content else {
            return None;
        };
        let mut output: Map<String, Value> = content.clone();
        output.insert("output_type".into(), self.kind.as_str().into());
        CellOutput::parse(Value::Object(output))
    }
}

fn connect(
    process: &mut Child,
    ports: &[u16; 5],
    began: Instant,
    program: &Path,
) -> Result<(Socket, Socket)> {
    loop {
        let both = Socket::connect(ports[0], Kind::Dealer)
            .and_then(|shell| Ok((shell, Socket::connect(ports[1], Kind::Subscriber)?)));
        match both {
            Ok((shell, heard)) => {
                return Ok((shell, heard));
            }
            Err(error) if began.elapsed() > START => {
                return Err(Error::io("connecting to the kernel", program)(error));
            }
            Err(_) => {}
        }
        if let Ok(Some(status)) = process.try_wait() {
            let problem = format!(
                "ended at once ({status}); `unforget notebook --check` says what is missing"
            );
            return Err(Error::file(program, problem));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ports that are free now.
fn ports() -> Result<[u16; 5]> {
    let mut held = Vec::new();
    let mut ports = [0; 5];
    for port in &mut ports {
        let listener =
            TcpListener::bind("127.0.0.1:0").map_err(Error::library("looking for a free port"))?;
        *port = listener.local_addr().map_err(Error::library("looking for a free port"))?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// A key that others on the machine cannot guess: the standard library's hash keys are random.
fn key() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = || RandomState::new().build_hasher().finish();
    (0..4).map(|_| format!("{:016x}", random())).collect()
}

fn write_for_us_alone(path: &Path, text: &str) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // one that an earlier process of the same number left
    let _ = std::fs::remove_file(path);
    options
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .map_err(Error::io("writing the kernel's connection file", path))
}

/// A process and all that it started, itself first.
fn family(process: u32) -> Option<Vec<u32>> {
    let mut family = vec![process];
    let mut at = 0;
    while at < family.len() {
        let tasks = format!("/proc/{}/task", family[at]);
        let threads = match std::fs::read_dir(tasks) {
            Ok(threads) => threads,
            Err(_) if at > 0 => {
                at += 1;
                continue;
            }
            Err(_) => return None,
        };
        for thread in threads.flatten() {
            let children =
                std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family
                .extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        at += 1;
    }
    Some(family)
}

fn end(process: &mut Child) {
    // it may have ended by itself
    let _ = process.kill();
    let _ = process.wait();
}

/// Ends a process that a kernel started and left behind.
fn kill(process: u32) {
    #[cfg(unix)]
    signal(process, libc::SIGKILL);
}

#[cfg(unix)]
fn signal(process: u32, signal: libc::c_int) {
    if let Ok(process) = i32::try_from(process) {
        // SAFETY: a plain call of the C library; the worst that a wrong number does is to fail.
        unsafe { libc::kill(process, signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_cannot_start_is_named() {
        let folder = std::env::temp_dir();
        let start = |command: &str| {
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            Kernel::start(&command, &[], &folder).unwrap_err().to_string()
        };
        assert!(start("/no/such/kernel x").contains("/no/such/kernel"));
        assert!(start("true {connection_file}").contains("ended at once"));
    }

    #[test]
    fn keys_differ() {
        assert_ne!(key(), key());
        assert_eq!(key().len(), 64);
    }
}
