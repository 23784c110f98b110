//! As much of ZeroMQ's protocol (ZMTP 3.0, RFC 23, mechanism NULL) as a client of a Jupyter kernel on this machine needs, and the signature of
//! Jupyter's messages.
//!
//! A hundred lines stand here in the place of an asynchronous runtime, which is what the ZeroMQ crate needs and nothing else here does.

use crate::store::hex;
use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a socket is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Asks and is answered.
    Dealer,
    /// Hears everything that is published.
    Subscriber,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
}

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;
/// A larger part than any figure; a length beyond it is a broken stream.
const LARGEST: u64 = 1 << 30;

impl Socket {
    /// Connects and agrees on the protocol.
    pub fn connect(port: u16, kind: Kind) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut socket = Self { stream };
        // signature, version, mechanism, a client, filler
        let mut greeting = [0; 64];
        (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
        greeting[12..16].copy_from_slice(b"NULL");
        socket.stream.write_all(&greeting)?;
        let mut other = [0; 64];
        socket.stream.read_exact(&mut other)?;
        if other[0] != 0xff || other[10] < 3 || !other[12..].starts_with(b"NULL\0") {
            return Err(broken("is no ZeroMQ peer of version 3"));
        }
        let name: &[u8] = match kind {
            Kind::Dealer => b"DEALER",
            Kind::Subscriber => b"SUB",
        };
        let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
        ready.extend((name.len() as u32).to_be_bytes());
        ready.extend(name);
        socket.frame(COMMAND, &ready)?;
        let (flags, body) = socket.read_frame()?;
        if flags & COMMAND == 0 || !body.starts_with(b"\x05READY") {
            return Err(broken("did not agree to talk"));
        }
        if kind == Kind::Subscriber {
            socket.frame(0, b"\x01")?; // to all topics
        }
        // from here on reading waits as long as there is nothing to read
        socket.stream.set_read_timeout(None)?;
        Ok(socket)
    }

    /// A second handle, to close the connection under a reader.
    pub fn handle(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    /// Sends a message of several parts.
    pub fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for (at, part) in parts.iter().enumerate() {
            self.frame(if at + 1 < parts.len() { MORE } else { 0 }, part)?;
        }
        Ok(())
    }

    /// Waits for the next message.
    pub fn receive(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut parts = Vec::new();
        loop {
            let (flags, body) = self.read_frame()?;
            if flags & COMMAND != 0 {
                continue; // such as a heartbeat
            }
            parts.push(body);
            if flags & MORE == 0 {
                return Ok(parts);
            }
        }
    }

    fn frame(&mut self, flags: u8, body: &[u8]) -> io::Result<()> {
        let mut frame = match u8::try_from(body.len()) {
            Ok(short) => vec![flags, short],
            Err(_) => {
                let mut head = vec![flags | LONG];
                head.extend((body.len() as u64).to_be_bytes());
                head
            }
        };
        frame.extend(body);
        self.stream.write_all(&frame)
    }

    fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut flags = [0];
        self.stream.read_exact(&mut flags)?;
        let [flags] = flags;
        let length = if flags & LONG != 0 {
            let mut length = [0; 8];
            self.stream.read_exact(&mut length)?;
            u64::from_be_bytes(length)
        } else {
            let mut length = [0];
            self.stream.read_exact(&mut length)?;
            u64::from(length[0])
        };
        if length > LARGEST {
            return Err(broken("announces a part of more than a gigabyte"));
        }
        let mut body = vec![0; length as usize];
        self.stream.read_exact(&mut body)?;
        Ok((flags, body))
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the other side {what}"))
}

/// HMAC-SHA256 (RFC 2104) of `parts` one after the other, in hex.
pub(super) fn signature(key: &[u8], parts: &[&[u8]]) -> String {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    match key.len() > BLOCK {
        true => block[..32].copy_from_slice(&Sha256::digest(key)),
        false => block[..key.len()].copy_from_slice(key),
    }
    let keyed = |pad: u8| Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
    let inner = parts.iter().fold(keyed(0x36), |hash, part| hash.chain_update(part)).finalize();
    let outer = keyed(0x5c).chain_update(inner).finalize();
    hex(&outer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /* import hmac; hmac.new(b"Jefe", b"what do ya want for nothing?", "sha256").hexdigest(), RFC 4231 case 2;
    hmac.new(b"k" * 100, b"ab", "sha256").hexdigest() */
    #[test]
    fn the_signature_is_that_of_the_rfc() {
        assert_eq!(
            signature(b"Jefe", &[b"what do ya want ", b"for nothing?"]),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            signature(&[b'k'; 100], &[b"a", b"b"]),
            "6559888d457d4600bb441ba2f289ab5737c54dfc51548ed9ec46790592a328d1"
        );
    }

    #[test]
    fn two_ends_understand_each_other() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let far = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut far = Socket { stream };
            let mut greeting = [0; 64];
            far.stream.read_exact(&mut greeting).unwrap();
            far.stream.write_all(&greeting).unwrap();
            let (flags, ready) = far.read_frame().unwrap();
            assert_eq!(
                (flags, &ready[..6], &ready[ready.len() - 6..]),
                (COMMAND, &b"\x05READY"[..], &b"DEALER"[..])
            );
            far.frame(COMMAND, &ready).unwrap();
            far.frame(COMMAND, b"\x04PING").unwrap();
            let message = far.receive().unwrap();
            let parts: Vec<&[u8]> = message.iter().map(Vec::as_slice).collect();
            far.send(&parts).unwrap();
        });
        let mut near = Socket::connect(port, Kind::Dealer).unwrap();
        let long = vec![7; 70_000];
        near.send(&[b"short", &long, b""]).unwrap();
        assert_eq!(near.receive().unwrap(), [b"short".to_vec(), long, Vec::new()]);
        far.join().unwrap();
        assert!(near.receive().is_err(), "the other end is gone");
    }
}
