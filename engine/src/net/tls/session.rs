//! One TLS session without I/O: bytes in, bytes out.
//!
//! The library's connection types are named here only, so that another
//! version, or another library, is a change of this file.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error};

use super::fault::TlsFault;

/// Plaintext of a full record.
const RECORD_PLAIN_BYTES: usize = 16 << 10;
/// More than any cipher adds to a record.
const RECORD_EXTRA_BYTES: usize = 64;
/// What may have to go before the data: a key update, an alert.
const QUEUED_BYTES: usize = 512;

/// The client's side of a session.
pub(super) struct Session {
    connection: UnbufferedClientConnection,
    host: String,
    outbox: Vec<u8>,
    established: bool,
    closed: bool,
    failed: Option<TlsFault>,
}

/// What became of received bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Ciphertext used up, from the front; the rest is to be shown again, in
    /// front of what comes next.
    pub(super) taken: usize,
    /// Plaintext, now at the front; never more than was taken.
    pub(super) made: usize,
}

/// What became of bytes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    /// Plaintext used up.
    pub(super) taken: usize,
    /// Ciphertext, at the front of the room.
    pub(super) made: usize,
}

enum Next {
    Again,
    Plain,
    Wait,
    Failed(Error),
}

impl Session {
    /// A session with `host`, a name or an address.
    pub(super) fn new(config: Arc<ClientConfig>, host: &str) -> Result<Self, TlsFault> {
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsFault::Name(host.to_owned()))?;
        let connection = UnbufferedClientConnection::new(config, name)
            .map_err(|error| fault_of(error, host, false))?;
        let (host, outbox) = (host.to_owned(), Vec::new());
        Ok(Self { connection, host, outbox, established: false, closed: false, failed: None })
    }

    /// Whether data may be sent and received.
    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// Whether the peer has said that it ends the stream.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What has to be sent before any data.
    pub(super) fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    /// Takes in all whole records of `bytes` and leaves their plaintext at the
    /// front. What came before a fault is made even so.
    pub(super) fn open(&mut self, bytes: &mut [u8]) -> (Opened, Result<(), TlsFault>) {
        let mut opened = Opened::default();
        if let Some(fault) = &self.failed {
            return (opened, Err(fault.clone()));
        }
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut bytes[opened.taken..]);
            let next = match state {
                Ok(ConnectionState::ReadTraffic(_)) => Next::Plain,
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    append(&mut self.outbox, |room| message.encode(room))
                }
                // The outbox is sent before anything else is.
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    Next::Again
                }
                Ok(ConnectionState::WriteTraffic(_)) => {
                    self.established = true;
                    Next::Wait
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.closed = true;
                    Next::Again
                }
                Ok(_) => Next::Wait,
                Err(error) => Next::Failed(error),
            };
            opened.taken += discard;
            match next {
                Next::Again => {}
                Next::Plain => opened.made += self.unload(&mut bytes[opened.made..opened.taken]),
                Next::Wait => return (opened, Ok(())),
                Next::Failed(error) => {
                    self.queue_alert();
                    let fault = fault_of(error, &self.host, self.established);
                    self.failed = Some(fault.clone());
                    return (opened, Err(fault));
                }
            }
        }
    }

    /// Copies the plaintext of the record that was just taken to where its
    /// ciphertext was. The library keeps it until it is asked for, and hands
    /// it out before it looks at any bytes, so there are none to show.
    fn unload(&mut self, room: &mut [u8]) -> usize {
        let status = self.connection.process_tls_records(&mut []);
        let Ok(ConnectionState::ReadTraffic(mut traffic)) = status.state else { return 0 };
        let mut made = 0;
        while let Some(Ok(record)) = traffic.next_record() {
            let end = made + record.payload.len();
            room[made..end].copy_from_slice(record.payload);
            made = end;
        }
        made
    }

    /// After a failure: the alert that tells the peer. The library must not
    /// see another byte then, and does not look for any while it has one.
    fn queue_alert(&mut self) {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    append(&mut self.outbox, |room| message.encode(room));
                }
                _ => return,
            }
        }
    }

    /// Seals as much of `plain` as `room` takes; `rest` is what
    /// [`Session::open`] has left of the bytes received so far.
    pub(super) fn seal(
        &mut self,
        rest: &mut [u8],
        plain: &[u8],
        room: &mut [u8],
    ) -> Result<Sealed, TlsFault> {
        if let Some(fault) = &self.failed {
            return Err(fault.clone());
        }
        let queued = self.outbox.len();
        let small = || TlsFault::Broken("the room for ciphertext is too small".to_owned());
        room.get_mut(..queued).ok_or_else(small)?.copy_from_slice(&self.outbox);
        let taken = share(plain.len(), room.len() - queued);
        if taken == 0 {
            return Err(small());
        }
        loop {
            let made = match self.connection.process_tls_records(rest).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    match traffic.encrypt(&plain[..taken], &mut room[queued..]) {
                        Ok(made) => made,
                        Err(EncryptError::InsufficientSize(_)) => return Err(small()),
                        Err(EncryptError::EncryptExhausted) => {
                            return Err(TlsFault::Broken("its keys are used up".to_owned()));
                        }
                    }
                }
                // Its turn was before this one; nothing is encoded in between.
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    continue;
                }
                Ok(ConnectionState::Closed) => return Err(TlsFault::Cut),
                Ok(state) => return Err(TlsFault::Broken(format!("it is {state:?}"))),
                Err(error) => return Err(fault_of(error, &self.host, self.established)),
            };
            self.outbox = Vec::new();
            return Ok(Sealed { taken, made: queued + made });
        }
    }

    /// Writes what ends the stream for the peer into `room`; the bytes it
    /// takes, none where there is nothing to end.
    pub(super) fn close(&mut self, rest: &mut [u8], room: &mut [u8]) -> usize {
        if self.failed.is_some() || !self.established {
            return 0;
        }
        match self.connection.process_tls_records(rest).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                traffic.queue_close_notify(room).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// How much of `plain` bytes goes into `room`, in equal turns of whole records.
fn share(plain: usize, room: usize) -> usize {
    let room = room.saturating_sub(QUEUED_BYTES);
    let records = room / (RECORD_PLAIN_BYTES + RECORD_EXTRA_BYTES);
    if records == 0 {
        return plain.min(room.saturating_sub(RECORD_EXTRA_BYTES));
    }
    let turns = plain.div_ceil(records * RECORD_PLAIN_BYTES).max(1);
    plain.min(plain.div_ceil(turns).next_multiple_of(RECORD_PLAIN_BYTES))
}

/// Appends what `encode` writes.
fn append(
    outbox: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Next {
    let start = outbox.len();
    let mut encoded = encode(&mut []);
    if let Err(EncodeError::InsufficientSize(short)) = encoded {
        outbox.resize(start + short.required_size, 0);
        encoded = encode(&mut outbox[start..]);
    }
    match encoded {
        Ok(_) => Next::Again,
        Err(fault) => Next::Failed(Error::General(fault.to_string())),
    }
}

impl TlsFault {
    /// What an adapter's handshake with `host` failed with.
    pub(in crate::net) fn of(error: Error, host: &str) -> Self {
        fault_of(error, host, false)
    }

    /// What an adapter's session failed with after that.
    pub(in crate::net) fn established(error: Error) -> Self {
        fault_of(error, "", true)
    }
}

fn fault_of(error: Error, host: &str, established: bool) -> TlsFault {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(fault) => match fault {
            C::UnknownIssuer => TlsFault::UnknownIssuer,
            C::BadSignature => TlsFault::Forged,
            C::Expired | C::ExpiredContext { .. } => TlsFault::Expired,
            C::NotValidYet | C::NotValidYetContext { .. } => TlsFault::NotYetValid,
            C::NotValidForName => wrong_name(host, &[]),
            C::NotValidForNameContext { presented, .. } => wrong_name(host, &presented),
            other => TlsFault::Certificate(other.to_string()),
        },
        Error::NoCertificatesPresented => TlsFault::Certificate("it shows none".to_owned()),
        Error::AlertReceived(alert) => alerted(alert, established),
        Error::InvalidMessage(_) if !established => TlsFault::NotTls,
        Error::PeerIncompatible(why) => TlsFault::Incompatible(format!("{why:?}")),
        Error::NoApplicationProtocol => TlsFault::Incompatible("it speaks no HTTP/1.1".to_owned()),
        other => TlsFault::Broken(other.to_string()),
    }
}

/// A peer that fails or gives up in the middle may do better next time; one
/// that refuses will refuse again.
fn alerted(alert: AlertDescription, established: bool) -> TlsFault {
    use AlertDescription as A;
    let said = format!("{alert:?}");
    match alert {
        A::InternalError | A::UserCanceled | A::DecryptError | A::BadRecordMac => {
            TlsFault::Broken(format!("the peer's alert was {said}"))
        }
        A::CertificateRequired | A::BadCertificate | A::AccessDenied => TlsFault::Alert(said),
        _ if established => TlsFault::Broken(format!("the peer's alert was {said}")),
        _ => TlsFault::Alert(said),
    }
}

/// Names of the certificate that are shown.
const NAMES_SHOWN: usize = 4;

fn wrong_name(host: &str, presented: &[String]) -> TlsFault {
    let mut shown = presented.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if presented.is_empty() {
        shown = "another name".to_owned();
    } else if presented.len() > NAMES_SHOWN {
        shown.push_str(", …");
    }
    TlsFault::WrongName { host: host.to_owned(), presented: shown }
}
