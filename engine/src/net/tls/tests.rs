//! The session against the library's own server, byte by byte: every split,
//! every room, spoilt bytes. The certificate is the openssl program's.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};

use super::held::Held;
use super::session::Session;
use super::{Tls, TlsFault};
use crate::config::Access;

/// A self-signed certificate; `None`, said aloud, without openssl.
fn server_config() -> Option<Arc<ServerConfig>> {
    static CONFIG: OnceLock<Option<Arc<ServerConfig>>> = OnceLock::new();
    CONFIG.get_or_init(make_config).clone()
}

#[allow(clippy::print_stderr, reason = "a test that does not run says so")]
fn make_config() -> Option<Arc<ServerConfig>> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-keyout", "key", "-out", "cert", "-subj", "/CN=peer", "-days", "2"])
        .current_dir(folder.path())
        .output();
    if made.is_err() {
        let strict = std::env::var_os("OSMO_TEST_STRICT").is_some();
        assert!(!strict, "skipped under OSMO_TEST_STRICT: there is no openssl");
        eprintln!("skipped: there is no openssl");
        return None;
    }
    let certificate = CertificateDer::from_pem_file(folder.path().join("cert")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Some(Arc::new(config))
}

/// Our session and what it holds, and the server.
struct Pair {
    session: Session,
    held: Held,
    server: ServerConnection,
    /// What the server sends is handed over in pieces of these sizes, in turn.
    pieces: Vec<usize>,
    turn: usize,
    received: Vec<u8>,
}

impl Pair {
    fn new(config: Arc<ServerConfig>, pieces: &[usize]) -> Self {
        static TLS: OnceLock<Tls> = OnceLock::new();
        let access = Access { insecure: true, ..Access::default() };
        let tls = TLS.get_or_init(|| Tls::open_in(&access, &Default::default()).unwrap());
        Self {
            session: Session::new(tls.client_config().unwrap(), "127.0.0.1").unwrap(),
            held: Held::default(),
            server: ServerConnection::new(config).unwrap(),
            pieces: pieces.to_vec(),
            turn: 0,
            received: Vec::new(),
        }
    }

    /// Everything the server has to say.
    fn said(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Hands bytes over, in pieces; reads plaintext as it comes.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), TlsFault> {
        while !bytes.is_empty() {
            let size = self.pieces[self.turn % self.pieces.len()].min(bytes.len());
            self.turn += 1;
            self.held.push(&bytes[..size]);
            bytes = &bytes[size..];
            let opened = self.held.open(&mut self.session);
            let mut room = vec![0; 1 + self.turn % 700];
            while self.held.has_plain() {
                let made = self.held.take_plain(&mut room);
                self.received.extend_from_slice(&room[..made]);
            }
            opened?;
        }
        Ok(())
    }

    /// Hands bytes to the server; the data in them.
    fn tell(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let mut arrived = Vec::new();
        while !bytes.is_empty() {
            self.server.read_tls(&mut bytes).unwrap();
            self.server.process_new_packets().unwrap();
            // It says that there is no more for now by an error.
            let _ = self.server.reader().read_to_end(&mut arrived);
        }
        arrived
    }

    fn shake(&mut self) {
        self.held.open(&mut self.session).unwrap();
        for _ in 0..4 {
            let ours = std::mem::take(self.session.outbox());
            self.tell(&ours);
            let said = self.said();
            self.take(&said).unwrap();
        }
        assert!(self.session.is_established() && !self.server.is_handshaking());
    }

    /// Seals all of `data` through a room, tells the server, reads it there.
    fn send(&mut self, data: &[u8], room_bytes: usize) -> Vec<u8> {
        let (mut start, mut room, mut arrived) = (0, vec![0; room_bytes], Vec::new());
        while start < data.len() {
            let sealed = self.session.seal(self.held.cipher(), &data[start..], &mut room).unwrap();
            assert!(sealed.taken > 0 && sealed.made <= room.len());
            start += sealed.taken;
            arrived.extend(self.tell(&room[..sealed.made]));
        }
        arrived
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_survive_every_split(
        pieces in prop::collection::vec(prop_oneof![1_usize..8, 8_usize..40_000], 1..8),
        sizes in prop::collection::vec(1_usize..50_000, 1..5),
        room in 2_000_usize..70_000,
        update in any::<bool>(),
    ) {
        let Some(config) = server_config() else { return Ok(()) };
        let mut pair = Pair::new(config, &pieces);
        pair.shake();
        prop_assert_eq!(pair.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let mut expected = Vec::new();
        for size in sizes {
            let data = pattern(size);
            if update {
                pair.server.refresh_traffic_keys().unwrap();
            }
            pair.server.writer().write_all(&data).unwrap();
            let said = pair.said();
            prop_assert!(pair.take(&said).is_ok());
            expected.extend_from_slice(&data);
            prop_assert!(pair.received == expected);
            prop_assert!(pair.held.is_empty(), "all that came is used up");
            prop_assert!(pair.send(&data, room) == data);
        }
        pair.server.send_close_notify();
        let said = pair.said();
        prop_assert!(pair.take(&said).is_ok());
        prop_assert!(pair.session.is_closed());
    }

    #[test]
    fn a_spoilt_bit_is_a_fault_and_never_other_bytes(
        pieces in prop::collection::vec(1_usize..20_000, 1..4),
        in_handshake in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bit in 0_u32..8,
    ) {
        let Some(config) = server_config() else { return Ok(()) };
        let mut pair = Pair::new(config, &pieces);
        let data = pattern(40_000);
        if in_handshake {
            pair.held.open(&mut pair.session).unwrap();
            let hello = std::mem::take(pair.session.outbox());
            pair.tell(&hello);
        } else {
            pair.shake();
            pair.server.writer().write_all(&data).unwrap();
        }
        let mut said = pair.said();
        let at = at.index(said.len());
        said[at] ^= 1 << bit;
        let taken = pair.take(&said);
        prop_assert!(data.starts_with(&pair.received));
        // A longer record is waited for, the cut that follows is the fault.
        prop_assert!(taken.is_err() || !pair.held.is_empty() || in_handshake);
        prop_assert!(pair.received.len() < data.len());
        // Whatever it was, a session that failed stays so.
        if taken.is_err() {
            prop_assert!(pair.take(&said).is_err());
            prop_assert!(pair.session.seal(&mut [], b"x", &mut [0; 4_096]).is_err());
        }
    }

    #[test]
    fn garbage_is_no_tls(garbage in prop::collection::vec(any::<u8>(), 1..2_000)) {
        let Some(config) = server_config() else { return Ok(()) };
        let mut pair = Pair::new(config, &[100_000]);
        pair.held.open(&mut pair.session).unwrap();
        let taken = pair.take(&garbage);
        prop_assert!(taken.is_err() || !pair.session.is_established());
    }
}

#[test]
fn a_message_of_http_is_told_apart() {
    let Some(config) = server_config() else { return };
    let mut pair = Pair::new(config, &[3]);
    pair.held.open(&mut pair.session).unwrap();
    let taken = pair.take(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(taken, Err(TlsFault::NotTls));
    // The peer is told, by an alert record (RFC 8446 §6).
    assert_eq!(pair.session.outbox().first(), Some(&22), "our hello, still unsent");
    let alert = pair.session.outbox().len() - 7;
    assert_eq!(pair.session.outbox()[alert], 21);
}
