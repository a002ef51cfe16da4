//! The request's head, as a server can read it again.

/// Gives the request line its encoding back: the router sends the path decoded.
/// The connection ends with its answer, so that an answer of unknown length has
/// an end.
pub(super) fn rewrite(message: &[u8]) -> Vec<u8> {
    let Some(end) = message.windows(2).position(|pair| pair == b"\r\n") else {
        return message.to_vec();
    };
    let (line, rest) = message.split_at(end);
    let first = line.iter().position(|byte| *byte == b' ');
    let last = line.iter().rposition(|byte| *byte == b' ');
    let (Some(first), Some(last)) = (first, last) else { return message.to_vec() };
    if first >= last {
        return message.to_vec();
    }
    let mut out = line[..=first].to_vec();
    encode_target(&line[first + 1..last], &mut out);
    out.extend_from_slice(&line[last..]);
    let head = rest.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(rest.len());
    if !has_header(&rest[..head], b"connection") {
        out.extend_from_slice(b"\r\nconnection: close");
    }
    out.extend_from_slice(rest);
    out
}

/// Whether the answer to this request has no body.
pub(super) fn is_head(message: &[u8]) -> bool {
    message.starts_with(b"HEAD ")
}

/// The path comes decoded, so its `%` is a character; the query comes as the
/// browser sent it.
fn encode_target(target: &[u8], out: &mut Vec<u8>) {
    let question = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    for (index, &byte) in target.iter().enumerate() {
        let is_plain = byte.is_ascii_graphic()
            && !b"\"<>\\^`{|}#".contains(&byte)
            && (byte != b'%' || index > question);
        match is_plain {
            true => out.push(byte),
            false => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
}

fn has_header(head: &[u8], name: &[u8]) -> bool {
    head.split(|byte| *byte == b'\n').any(|line| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        line[..colon].eq_ignore_ascii_case(name)
    })
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn the_decoded_path_is_encoded_again_and_the_query_stays() {
        for (target, sent) in [
            ("/hello/a b?x=1&y=%C3%A9", "/hello/a%20b?x=1&y=%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/100%", "/100%25"),
            ("/a?b?c=%20", "/a?b?c=%20"),
            ("/a#b", "/a%23b"),
            ("/", "/"),
        ] {
            let message = format!("GET {target} HTTP/1.1\r\nhost: h\r\n\r\nbody");
            let expected =
                format!("GET {sent} HTTP/1.1\r\nconnection: close\r\nhost: h\r\n\r\nbody");
            assert_eq!(String::from_utf8_lossy(&rewrite(message.as_bytes())), expected);
        }
    }

    #[test]
    fn junk_is_left_to_the_server() {
        for junk in ["", "x", "GET\r\n\r\n", "GET  \r\n", "\r\n"] {
            let _ = rewrite(junk.as_bytes());
        }
    }
}
