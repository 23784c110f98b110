//! Files of text as people have them: with a byte-order mark, in UTF-16, or packed though the name does not say so.
//!
//! ```
//! use unforget::files::text;
//! let saved_by_an_editor = b"\xef\xbb\xbfname = \"lab\"";
//! assert_eq!(text(saved_by_an_editor, "recipe.toml".as_ref())?, "name = \"lab\"");
//! # Ok::<(), unforget::error::Error>(())
//! ```

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// How packed and other files that are no text begin, what they are, and the way out.
const OTHERS: [(&[u8], &str, &str); 12] = [
    (b"\xfd7zXZ\0", "packed by xz", "unpack it first: xz -d FILE"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard", "unpack it first: zstd -d FILE"),
    (b"BZh", "packed by bzip2", "unpack it first: bzip2 -d FILE"),
    (
        b"PK\x03\x04",
        "a zip archive, as Excel's workbooks are too",
        "unpack it first: unzip FILE; save a workbook as CSV",
    ),
    (b"7z\xbc\xaf\x27\x1c", "packed by 7-Zip", "unpack it first: 7z x FILE"),
    (b"Rar!\x1a\x07", "packed by RAR", "unpack it first"),
    (b"\x04\x22\x4d\x18", "packed by LZ4", "unpack it first: lz4 -d FILE"),
    (b"\x1f\x8b", "packed by gzip", "unpack it first: gzip -d FILE"),
    (b"SQLite format 3\0", "an SQLite database", "write its rows as JSON lines first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its rows as JSON lines or Parquet first"),
    (b"%PDF-", "a PDF document", "give its text"),
    (
        b"version https://git-lfs.github.com/spec/",
        "not the file itself but its pointer in Git LFS",
        "fetch the file: git lfs pull",
    ),
];

/// What `bytes` are if they are a packed or another well-known file, with the way out; gzip is among them.
pub fn packed(bytes: &[u8]) -> Option<String> {
    let (_, what, way_out) = OTHERS.iter().find(|(begin, ..)| bytes.starts_with(begin))?;
    Some(format!("is {what}; {way_out}"))
}

/// The same of the file at `path`, of which only the beginning is read.
pub fn packed_at(path: &Path) -> Option<String> {
    let mut begin = Vec::new();
    std::fs::File::open(path).ok()?.take(64).read_to_end(&mut begin).ok()?;
    packed(&begin)
}

/// The text of a file without the byte-order mark that some editors put before it; UTF-16 that says so by its mark is read, too. `path` is
/// for messages.
///
/// # Errors
/// Names what the file is instead, or the line that is not in UTF-8.
pub fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<Cow<'a, str>> {
    let wide = |from: fn([u8; 2]) -> u16| {
        let odd = bytes.len() % 2 == 1;
        let pairs = bytes[2..].chunks_exact(2).map(|pair| from([pair[0], pair[1]]));
        let text: std::result::Result<String, _> = char::decode_utf16(pairs).collect();
        match text {
            Ok(text) if !odd => Ok(Cow::from(text)),
            _ => Err(Error::file(path, "is no whole text in UTF-16; save it again, as UTF-8")),
        }
    };
    match bytes {
        [0xff, 0xfe, ..] => return wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => return wide(u16::from_be_bytes),
        _ => {}
    }
    if let Some(problem) = packed(bytes) {
        return Err(Error::file(path, problem));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // every other byte of English in UTF-16 is 0, and no text holds one
    if bytes.iter().take(64).filter(|byte| **byte == 0).count() > 8 {
        let problem = "holds bytes of 0, as UTF-16 without a mark or a binary file does; expected text in UTF-8";
        return Err(Error::file(path, problem));
    }
    std::str::from_utf8(bytes).map(Cow::from).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = bytes[start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let shown: String = String::from_utf8_lossy(line).chars().take(80).collect();
        let problem = format!(
            "expected text in UTF-8, found another byte at {} of the line: {shown}",
            before.len() - start
        );
        Error::row(path, line_number(before), problem)
    })
}

/// Reads a file as [`text`] reads it; `doing` is for messages, such as `reading the recipe`.
///
/// # Errors
/// The file cannot be read, or is no text.
pub fn read_text(path: &Path, doing: &str) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(doing, path))?;
    Ok(text(&bytes, path)?.into_owned())
}

/// The number of the line that begins or goes on behind `before`; a line ends with `\n`, `\r\n`, or `\r` alone.
pub fn line_number(before: &[u8]) -> usize {
    let ends = before.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => before.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    1 + ends.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str, mark: &[u8], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        mark.iter().copied().chain(text.encode_utf16().flat_map(bytes)).collect()
    }

    #[test]
    fn marks_are_taken_off_and_utf_16_is_read() {
        let path = Path::new("a.txt");
        assert_eq!(text(b"\xef\xbb\xbfa\r\n", path).unwrap(), "a\r\n");
        let said = "é 🙂\n";
        let little = wide(said, b"\xff\xfe", u16::to_le_bytes);
        assert_eq!(text(&little, path).unwrap(), said);
        assert_eq!(text(&wide(said, b"\xfe\xff", u16::to_be_bytes), path).unwrap(), said);
        let cut = text(&little[..little.len() - 1], path).unwrap_err().to_string();
        assert!(cut.contains("UTF-16"), "{cut}");
        assert_eq!(text(b"", path).unwrap(), "");
    }

    #[test]
    fn what_is_no_text_is_named_with_the_way_out() {
        let check = |bytes: &[u8], parts: [&str; 2]| {
            let message = text(bytes, Path::new("a.jsonl")).unwrap_err().to_string();
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        };
        check(b"\xfd7zXZ\0\0\x04", ["packed by xz", "xz -d"]);
        check(b"\x28\xb5\x2f\xfd\x04", ["Zstandard", "zstd -d"]);
        check(b"BZh91AY", ["bzip2", "bzip2 -d"]);
        check(b"PK\x03\x04\x14", ["zip", "unzip"]);
        check(&wide("{\"a\": \"b\"} and more of it", b"", u16::to_le_bytes), ["0", "UTF-8"]);
        check(b"a\rb\nc\xff", ["a.jsonl:3", "another byte at 1"]);
    }
}
