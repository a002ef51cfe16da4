//! Signature Version 4, computed from what arrived (AWS: "Authenticating
//! Requests: Using the Authorization Header").

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::request::Request;
use super::{ACCESS_KEY, SECRET_KEY};

/// The region that `request` is signed for.
pub(super) fn region(request: &Request) -> Option<&str> {
    let (_, credential) = request.field("authorization")?.split_once("Credential=")?;
    credential.split('/').nth(2)
}

/// Says what is wrong with the signature of `request`; `regions` may sign.
pub(super) fn check(request: &Request, body: &[u8], regions: &[&str]) -> Result<(), String> {
    let authorization = request.field("authorization").ok_or("the request is not signed")?;
    let parts = authorization.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("not AWS4-HMAC-SHA256")?;
    let part = |name: &str| {
        let found = parts.split(',').find_map(|part| part.trim().strip_prefix(name));
        found.ok_or_else(|| format!("no {name} in the authorization"))
    };
    let (credential, signed) = (part("Credential=")?, part("SignedHeaders=")?);
    let scope: Vec<_> = credential.split('/').collect();
    let [key, date, region, service, end] = scope[..] else {
        return Err(format!("the scope {credential}"));
    };
    if key != ACCESS_KEY || service != "s3" || end != "aws4_request" || !regions.contains(&region) {
        return Err(format!("the scope {credential}"));
    }
    let at = request.field("x-amz-date").filter(|at| at.starts_with(date)).ok_or("the date")?;
    let payload = request.field("x-amz-content-sha256").ok_or("no x-amz-content-sha256")?;
    let unsigned = payload == "UNSIGNED-PAYLOAD" || payload.starts_with("STREAMING-");
    if !unsigned && payload != hex(&Sha256::digest(body)) {
        return Err("the body is not what x-amz-content-sha256 says".to_owned());
    }
    covers(request, signed)?;
    let canonical = canonical(request, signed, payload)?;
    let scope = format!("{date}/{region}/s3/aws4_request");
    let text =
        format!("AWS4-HMAC-SHA256\n{at}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut secret = format!("AWS4{SECRET_KEY}").into_bytes();
    for step in [date, region, "s3", "aws4_request", &text] {
        secret = mac(&secret, step);
    }
    if hex(&secret) != part("Signature=")? {
        return Err(format!("the signature does not match; canonical request:\n{canonical}"));
    }
    Ok(())
}

/// Host and all `x-amz-` fields must be signed.
fn covers(request: &Request, signed: &str) -> Result<(), String> {
    let signed: Vec<_> = signed.split(';').collect();
    let must = |name: &str| name == "host" || name.starts_with("x-amz-");
    match request.fields.iter().find(|(name, _)| must(name) && !signed.contains(&name.as_str())) {
        Some((name, _)) => Err(format!("{name} is not signed")),
        None => Ok(()),
    }
}

fn canonical(request: &Request, signed: &str, payload: &str) -> Result<String, String> {
    let mut query: Vec<_> = request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
        .collect();
    query.sort_unstable();
    let mut fields = String::new();
    for name in signed.split(';') {
        let value = request.field(name).ok_or_else(|| format!("no field {name}, but signed"))?;
        let value: Vec<_> = value.split_whitespace().collect();
        fields.push_str(&format!("{name}:{}\n", value.join(" ")));
    }
    let (method, path, query) = (&request.method, &request.path, query.join("&"));
    Ok(format!("{method}\n{path}\n{query}\n{fields}\n{signed}\n{payload}"))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
