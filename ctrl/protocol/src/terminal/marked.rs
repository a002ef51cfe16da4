//! Values that stand behind a marker within a stream of bytes.

use super::VALUE_BYTES_MAX;

/// What a stream consists of.
#[derive(Debug)]
pub(super) enum Piece<T> {
    /// Bytes that belong to no value.
    Bytes(Vec<u8>),
    /// A value; its marker is gone.
    Value(T),
}

/// Cuts `bytes` into pieces and returns how many bytes that took; the rest may
/// become a value when more arrives.
pub(super) fn cut<T>(
    bytes: &[u8],
    marker: &[u8],
    parse: impl Fn(&[u8]) -> Option<T>,
    mut piece: impl FnMut(Piece<T>),
) -> usize {
    // Bytes before `told` are passed on, those before `at` are no value.
    let (mut told, mut at) = (0, 0);
    while let Some(found) = bytes[at..].iter().position(|byte| Some(byte) == marker.first()) {
        at += found;
        match value(&bytes[at..], marker, &parse) {
            Found::More => break,
            Found::Nothing => at += 1,
            Found::Value(value, length) => {
                if told < at {
                    piece(Piece::Bytes(bytes[told..at].to_vec()));
                }
                piece(Piece::Value(value));
                at += length;
                told = at;
            }
        }
    }
    if bytes.get(at) != marker.first() {
        at = bytes.len();
    }
    if told < at {
        piece(Piece::Bytes(bytes[told..at].to_vec()));
    }
    at
}

enum Found<T> {
    /// A marker or a value, perhaps.
    More,
    /// Neither.
    Nothing,
    /// A value, and how many bytes it took with its marker.
    Value(T, usize),
}

/// What `bytes`, which begin like a marker, begin with. What can no longer
/// become a value is not waited for.
fn value<T>(bytes: &[u8], marker: &[u8], parse: impl Fn(&[u8]) -> Option<T>) -> Found<T> {
    let common = bytes.len().min(marker.len());
    let value = &bytes[common..];
    if bytes[..common] != marker[..common] || value.first().is_some_and(|&byte| byte != b'{') {
        return Found::Nothing;
    }
    match value.iter().take(VALUE_BYTES_MAX).position(|&byte| byte == b'}') {
        Some(end) => match parse(&value[..=end]) {
            Some(value) => Found::Value(value, common + end + 1),
            None => Found::Nothing,
        },
        None if value.len() >= VALUE_BYTES_MAX => Found::Nothing,
        None => Found::More,
    }
}
