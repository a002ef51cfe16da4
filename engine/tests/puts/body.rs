//! A request's body as AWS documents it, decoded without mercy, and the
//! checksums over it, computed without the engine.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use crate::store::Head;

/// CRC-64/NVME by its parameters in the catalogue: the polynomial
/// 0xAD93D23594C93659, reflected, all ones before and after.
pub(crate) fn crc64nvme(bytes: &[u8]) -> String {
    static TABLE: OnceLock<[u64; 256]> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        const REFLECTED: u64 = 0x9A6C_9329_AC4B_C9B5;
        let mut table = [0_u64; 256];
        for (entry, byte) in table.iter_mut().zip(0_u64..) {
            let step = |crc: u64, _| crc >> 1 ^ if crc & 1 == 1 { REFLECTED } else { 0 };
            *entry = (0..8).fold(byte, step);
        }
        table
    });
    let mut crc = !0_u64;
    for byte in bytes {
        crc = crc >> 8 ^ table[usize::from(*byte ^ crc.to_le_bytes()[0])];
    }
    STANDARD.encode((!crc).to_be_bytes())
}

#[test]
fn the_checksum_is_the_catalogues() {
    assert_eq!(
        STANDARD.decode(crc64nvme(b"123456789")).unwrap(),
        0xAE8B_1486_0A79_9888_u64.to_be_bytes()
    );
}

pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content of an `aws-chunked` body with an unsigned trailer, and the
/// trailer's value.
pub(crate) fn decode(head: &Head, body: &[u8]) -> Result<(Vec<u8>, String), String> {
    let must = |name: &str, value: &str| match head.field(name) {
        Some(found) if found == value => Ok(()),
        found => Err(format!("{name} is {found:?}")),
    };
    must("content-encoding", "aws-chunked")?;
    must("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")?;
    must("x-amz-trailer", "x-amz-checksum-crc64nvme")?;
    if head.field("x-amz-checksum-crc64nvme").is_some() {
        return Err("a checksum before and after the body".to_owned());
    }
    let mut left = body;
    let mut content = Vec::new();
    loop {
        let bytes = usize::from_str_radix(line(&mut left)?, 16).map_err(|e| e.to_string())?;
        if bytes == 0 {
            break;
        }
        let chunk = left.split_off(..bytes).ok_or("a chunk that ends early")?;
        content.extend_from_slice(chunk);
        if !line(&mut left)?.is_empty() {
            return Err("no line end after a chunk".to_owned());
        }
    }
    let trailer = line(&mut left)?;
    let value = trailer.strip_prefix("x-amz-checksum-crc64nvme:").ok_or("another trailer")?;
    if !line(&mut left)?.is_empty() || !left.is_empty() {
        return Err(format!("{} bytes after the trailer", left.len()));
    }
    must("x-amz-decoded-content-length", &content.len().to_string())?;
    Ok((content, value.to_owned()))
}

fn line<'a>(left: &mut &'a [u8]) -> Result<&'a str, String> {
    let end = left.windows(2).position(|pair| pair == b"\r\n").ok_or("no line end")?;
    let line = left.split_off(..end).ok_or("no line")?;
    *left = &left[2..];
    std::str::from_utf8(line).map_err(|e| e.to_string())
}

// The example of "Signature calculations for … unsigned payload with
// trailers" in the S3 API reference, its chunks shortened.
#[test]
fn a_body_as_documented_is_decoded() {
    let head = Head::parse(
        "PUT /b/k HTTP/1.1\r\ncontent-encoding: aws-chunked\r\nx-amz-decoded-content-length: 12\r\n\
         x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n\
         x-amz-trailer: x-amz-checksum-crc64nvme\r\n\r\n",
    );
    let body = b"9\r\n123456789\r\n3\r\nabc\r\n0\r\nx-amz-checksum-crc64nvme:wdBDMA==\r\n\r\n";
    let (content, value) = decode(&head, body).unwrap();
    assert_eq!((content.as_slice(), value.as_str()), (b"123456789abc".as_slice(), "wdBDMA=="));
    for broken in [&body[..body.len() - 2], &body[1..], b"0\r\n\r\n"] {
        decode(&head, broken).unwrap_err();
    }
}
