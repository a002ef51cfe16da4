//! The checksums that a request declares, against the bytes that came.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::Md5;
use sha2::{Digest, Sha256};

/// CRC64NVME in base64, as `x-amz-checksum-crc64nvme` has it.
pub(super) fn crc64nvme(bytes: &[u8]) -> String {
    STANDARD.encode(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes).to_be_bytes())
}

fn crc32(algorithm: CrcAlgorithm, bytes: &[u8]) -> String {
    let wide = crc_fast::checksum(algorithm, bytes).to_be_bytes();
    STANDARD.encode(&wide[4..])
}

/// What algorithm `name` makes of `bytes`; `None` for an unknown one.
fn computed(name: &str, bytes: &[u8]) -> Option<String> {
    Some(match name {
        "crc64nvme" => crc64nvme(bytes),
        "crc32c" => crc32(CrcAlgorithm::Crc32Iscsi, bytes),
        "crc32" => crc32(CrcAlgorithm::Crc32IsoHdlc, bytes),
        "sha256" => STANDARD.encode(Sha256::digest(bytes)),
        _ => return None,
    })
}

/// Checks every checksum among `fields` (of a head or a trailer).
///
/// # Errors
/// The S3 code and what does not match.
pub(super) fn check(
    fields: &[(String, String)],
    bytes: &[u8],
) -> Result<(), (&'static str, String)> {
    for (name, value) in fields {
        let Some(name) = name.strip_prefix("x-amz-checksum-") else { continue };
        if matches!(name, "mode" | "type" | "algorithm") {
            continue;
        }
        match computed(name, bytes) {
            Some(ours) if ours == *value => {}
            Some(ours) => return Err(("BadDigest", format!("{name} is {ours}, not {value}"))),
            None => return Err(("InvalidRequest", format!("the checksum {name} is unknown"))),
        }
    }
    let md5 = fields.iter().find(|(name, _)| name == "content-md5");
    if md5.is_some_and(|(_, value)| *value != STANDARD.encode(Md5::digest(bytes))) {
        return Err(("BadDigest", "Content-MD5 does not match".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The catalogue of parametrised CRCs: check values over "123456789".
    #[test]
    fn crcs_have_their_published_check_values() {
        let bytes = b"123456789";
        let plain = |text: Option<String>| STANDARD.decode(text.unwrap_or_default()).ok();
        let crc64 = 0xae8b_1486_0a79_9888_u64.to_be_bytes().to_vec();
        assert_eq!(plain(computed("crc64nvme", bytes)), Some(crc64));
        assert_eq!(plain(computed("crc32c", bytes)), Some(0xe306_9283_u32.to_be_bytes().to_vec()));
        assert_eq!(plain(computed("crc32", bytes)), Some(0xcbf4_3926_u32.to_be_bytes().to_vec()));
    }
}
