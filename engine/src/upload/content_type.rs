//! Content types by file name extension.

/// The type of most text formats that have none of their own.
const DEFAULT: &str = "text/plain";

/// By extension in lower case (IANA's registry, and common practice where it
/// has no entry).
const TYPES: [(&str, &str); 42] = [
    ("7z", "application/x-7z-compressed"),
    ("avi", "video/x-msvideo"),
    ("bin", "application/octet-stream"),
    ("bmp", "image/bmp"),
    ("bz2", "application/x-bzip2"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("flac", "audio/flac"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("h5", "application/x-hdf5"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("ico", "image/vnd.microsoft.icon"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("md", "text/markdown"),
    ("mkv", "video/x-matroska"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("npy", "application/octet-stream"),
    ("npz", "application/zip"),
    ("onnx", "application/octet-stream"),
    ("parquet", "application/vnd.apache.parquet"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("pt", "application/octet-stream"),
    ("py", "text/x-python"),
    ("safetensors", "application/octet-stream"),
    ("svg", "image/svg+xml"),
    ("tar", "application/x-tar"),
    ("tgz", "application/gzip"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("wav", "audio/wav"),
    ("webp", "image/webp"),
    ("xml", "application/xml"),
    ("yaml", "application/yaml"),
    ("zip", "application/zip"),
];

/// The `Content-Type` for a file of this name.
pub fn content_type(name: &str) -> &'static str {
    let base = crate::path::base_name(name);
    let Some((stem, extension)) = base.rsplit_once('.') else { return DEFAULT };
    if stem.is_empty() {
        return DEFAULT;
    }
    let extension = extension.to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == extension).map_or(DEFAULT, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_by_the_last_extension() {
        assert_eq!(content_type("a/b.tar.GZ"), "application/gzip");
        assert_eq!(content_type("a.json/x"), "text/plain");
        assert_eq!(content_type(".png"), "text/plain");
        assert_eq!(content_type("x.log"), "text/plain");
        assert_eq!(content_type("image.PNG"), "image/png");
    }
}
