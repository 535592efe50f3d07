//! Header maps as they cross the ABI: a count, then the sizes of each name and value,
//! then the texts, each with a zero byte behind it. Numbers are 32 bits, little-endian.

use alloc::vec::Vec;
use core::mem;

/// A header's name and value.
pub type Pair<'b> = (&'b [u8], &'b [u8]);

/// A request's headers, with the pseudo-headers that routing depends on apart.
#[derive(Debug, Eq, PartialEq)]
pub struct Head<'b> {
    /// `:method`, empty where it is missing.
    pub method: &'b [u8],
    /// `:authority`, empty where it is missing.
    pub authority: &'b [u8],
    /// `:path`, empty where it is missing.
    pub path: &'b [u8],
    /// All others in their order, names in lower case.
    pub headers: Vec<Pair<'b>>,
}

/// Why a map cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// The map is longer than it says.
    Long,
    /// A text is longer than the map.
    LongText,
    /// A text has no zero byte behind it.
    NoZero,
    /// A pseudo-header is there twice.
    PseudoHeaderTwice,
    /// The map is shorter than it says.
    Short,
    /// The map has more than [`MAX_BYTES`].
    TooLarge,
    /// The map has more than [`MAX_PAIRS`].
    TooMany,
}

impl Malformed {
    /// The problem in words.
    pub fn text(self) -> &'static str {
        match self {
            Malformed::Long => "the map is longer than it says",
            Malformed::LongText => "a text is longer than the map",
            Malformed::NoZero => "a text has no zero byte behind it",
            Malformed::PseudoHeaderTwice => "a pseudo-header is there twice",
            Malformed::Short => "the map is shorter than it says",
            Malformed::TooLarge => "the map has more than a mebibyte",
            Malformed::TooMany => "the map has more than 1000 pairs",
        }
    }
}

/// Ten times what Envoy lets through unless it is told otherwise (100 headers).
pub const MAX_PAIRS: usize = 1000;

/// Sixteen times what Envoy lets through unless it is told otherwise (60 KiB), rounded up.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Reads a map of request headers.
///
/// # Errors
/// As [`decode`], and a pseudo-header that is there twice.
pub fn head(map: &mut [u8]) -> Result<Head<'_>, Malformed> {
    let mut headers = decode(map)?;
    let (mut method, mut authority, mut path) = (None, None, None);
    let mut is_doubled = false;
    headers.retain(|(name, value)| {
        let place = match *name {
            b":method" => &mut method,
            b":authority" => &mut authority,
            b":path" => &mut path,
            _ => return true,
        };
        is_doubled |= place.replace(*value).is_some();
        false
    });
    if is_doubled {
        return Err(Malformed::PseudoHeaderTwice);
    }
    Ok(Head {
        method: method.unwrap_or_default(),
        authority: authority.unwrap_or_default(),
        path: path.unwrap_or_default(),
        headers,
    })
}

/// Reads a map in place, putting names in lower case. An empty buffer is an empty map.
///
/// # Errors
/// Sizes that do not add up, and maps beyond [`MAX_PAIRS`] or [`MAX_BYTES`].
pub fn decode(map: &mut [u8]) -> Result<Vec<Pair<'_>>, Malformed> {
    if map.is_empty() {
        return Ok(Vec::new());
    }
    if map.len() > MAX_BYTES {
        return Err(Malformed::TooLarge);
    }
    let (count, rest) = map.split_first_chunk_mut::<4>().ok_or(Malformed::Short)?;
    let count = number(*count);
    if count > MAX_PAIRS {
        return Err(Malformed::TooMany);
    }
    let (sizes, mut texts) = rest.split_at_mut_checked(count.saturating_mul(8)).ok_or(Malformed::Short)?;
    let mut pairs = Vec::with_capacity(count);
    let (sizes, _) = sizes.as_chunks::<4>();
    for size in sizes.as_chunks::<2>().0 {
        let [name_size, value_size] = size.map(number);
        let name = take(&mut texts, name_size)?;
        name.make_ascii_lowercase();
        let value = take(&mut texts, value_size)?;
        pairs.push((&*name, &*value));
    }
    if texts.is_empty() { Ok(pairs) } else { Err(Malformed::Long) }
}

/// Writes a map.
pub fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
    // INVARIANT: the maps written here are a reply's few short headers, so no length
    // reaches 32 bits.
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut map = Vec::from(size(pairs.len()));
    for (name, value) in pairs {
        map.extend(size(name.len()));
        map.extend(size(value.len()));
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        map.extend(text.as_bytes());
        map.push(0);
    }
    map
}

fn number(bytes: [u8; 4]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// Takes a text and the zero behind it off the front of `texts`.
fn take<'b>(texts: &mut &'b mut [u8], size: usize) -> Result<&'b mut [u8], Malformed> {
    let (text, rest) = mem::take(texts).split_at_mut_checked(size).ok_or(Malformed::LongText)?;
    let (zero, rest) = rest.split_first_mut().ok_or(Malformed::NoZero)?;
    if *zero != 0 {
        return Err(Malformed::NoZero);
    }
    *texts = rest;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [(&str, &str); 5] =
        [(":method", "GET"), (":path", "/flights?x"), (":authority", "api"), ("X-A", "One"), ("x-a", "")];

    fn error(map: &[u8]) -> &'static str {
        decode(&mut map.to_vec()).unwrap_err().text()
    }

    #[test]
    fn a_map_that_was_written_is_read_back_with_names_in_lower_case() {
        let mut map = encode(&REQUEST);
        let head = head(&mut map).unwrap();
        assert_eq!(
            head,
            Head {
                method: b"GET",
                authority: b"api",
                path: b"/flights?x",
                headers: vec![(b"x-a", b"One"), (b"x-a", b"")],
            }
        );
    }

    #[test]
    fn an_empty_buffer_is_an_empty_map() {
        assert_eq!(decode(&mut []).unwrap(), []);
        assert_eq!(head(&mut []).unwrap().path, b"");
    }

    #[test]
    fn a_map_cut_anywhere_is_refused() {
        let map = encode(&REQUEST);
        for length in 1..map.len() {
            assert!(decode(&mut map[..length].to_vec()).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_map_with_more_behind_it_is_refused() {
        let mut map = encode(&REQUEST);
        map.push(0);
        assert_eq!(error(&map), "the map is longer than it says");
    }

    #[test]
    fn a_text_without_its_zero_is_refused() {
        let mut map = encode(&[("a", "b")]);
        *map.last_mut().unwrap() = b'c';
        assert_eq!(error(&map), "a text has no zero byte behind it");
    }

    #[test]
    fn sizes_up_to_four_gibibytes_are_refused_without_being_believed() {
        for size in [7, 0x7fff_ffff, 0xffff_fff8, 0xffff_ffff_u32] {
            let mut map = encode(&[("a", "b")]);
            map[4..8].copy_from_slice(&size.to_le_bytes());
            assert_eq!(error(&map), "a text is longer than the map");
            let mut map = encode(&[("a", "b")]);
            map[0..4].copy_from_slice(&size.to_le_bytes());
            assert!(decode(&mut map).is_err());
        }
    }

    #[test]
    fn more_than_a_thousand_pairs_are_refused() {
        assert!(decode(&mut encode(&[("a", ""); 1000])).is_ok());
        assert_eq!(error(&encode(&[("a", ""); 1001])), "the map has more than 1000 pairs");
    }

    #[test]
    fn a_map_of_more_than_a_mebibyte_is_refused() {
        let value = "v".repeat(MAX_BYTES);
        assert_eq!(error(&encode(&[("a", &value)])), "the map has more than a mebibyte");
    }

    #[test]
    fn a_doubled_pseudo_header_is_refused() {
        for name in [":method", ":path", ":authority"] {
            let mut map = encode(&[(name, "a"), (name, "a")]);
            assert_eq!(head(&mut map), Err(Malformed::PseudoHeaderTwice));
        }
    }
}
