//! What a request for a playlist asks for behind its `?` (draft-pantos-hls-rfc8216bis section 6.2.5): `_HLS_msn`, `_HLS_part`, `_HLS_skip`. The
//! bytes are a stranger's: whatever they are, they become a value here, without an allocation. What is
//! answered is decided in `reload`.

use std::fmt;

/// Longer than a query with the largest token that makes sense.
const MAX_LEN: usize = 8 * 1024;
const PREFIX: &[u8] = b"_HLS_";
/// The longest name that we know, and then some: a longer one is none of ours.
const MAX_NAME: usize = 16;
/// `u64` has 20 digits, and some write zeros in front.
const MAX_VALUE: usize = 32;

/// The directives of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Directives {
    /// `_HLS_msn`: the playlist has to have this segment. A number too large for 64 bits is the largest one.
    pub msn: Option<u64>,
    /// `_HLS_part`: and this part of it.
    pub part: Option<u64>,
    /// `_HLS_skip` is `YES` or `v2`. Any other value asks for nothing that we know, and a whole playlist is
    /// always right.
    pub skip: bool,
    /// Why the request is wrong, if it is.
    pub fault: Option<Fault>,
}

/// What is wrong with the directives of a request; the answer is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The query is longer than any that makes sense.
    TooLong,
    /// `_HLS_msn` or `_HLS_part` is not a number of digits.
    NoNumber(Name),
    /// A directive is there twice.
    Twice(Name),
    /// `_HLS_part` without `_HLS_msn`.
    PartAlone,
    /// `_HLS_msn` is more than two segments ahead of the last.
    FarMsn {
        /// What was asked for.
        asked: u64,
        /// The largest that may be.
        most: u64,
    },
    /// `_HLS_part` is more parts ahead than three seconds have.
    FarPart {
        /// What was asked for.
        asked: u64,
        /// The largest that may be.
        most: u64,
    },
}

/// The name of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// `_HLS_msn`.
    Msn,
    /// `_HLS_part`.
    Part,
    /// `_HLS_skip`.
    Skip,
}

impl Directives {
    /// Reads a query, without its `?`. What is no directive of ours is passed over.
    pub fn parse(query: &str) -> Self {
        let mut found = Self::default();
        if query.len() > MAX_LEN {
            found.fault = Some(Fault::TooLong);
            return found;
        }
        let mut skipped = false;
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = Name::parse(name) else { continue };
            let value = Decoded::<MAX_VALUE>::new(value);
            match name {
                Name::Msn => found.number(name, value, |d| &mut d.msn),
                Name::Part => found.number(name, value, |d| &mut d.part),
                Name::Skip if skipped => found.blame(Fault::Twice(name)),
                Name::Skip => {
                    skipped = true;
                    found.skip = matches!(value.bytes(), Some(b"YES" | b"v2"));
                }
            }
        }
        if found.part.is_some() && found.msn.is_none() {
            found.blame(Fault::PartAlone);
        }
        found
    }

    fn number(
        &mut self,
        name: Name,
        value: Decoded<MAX_VALUE>,
        slot: impl Fn(&mut Self) -> &mut Option<u64>,
    ) {
        let Some(number) = value.bytes().and_then(digits) else {
            return self.blame(Fault::NoNumber(name));
        };
        if slot(self).replace(number).is_some() {
            self.blame(Fault::Twice(name));
        }
    }

    /// The first fault is the one that is told.
    fn blame(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let name = Decoded::<MAX_NAME>::new(text);
        match name.bytes()?.strip_prefix(PREFIX)? {
            b"msn" => Some(Self::Msn),
            b"part" => Some(Self::Part),
            b"skip" => Some(Self::Skip),
            _ => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Msn => "_HLS_msn",
            Self::Part => "_HLS_part",
            Self::Skip => "_HLS_skip",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the query has more than {MAX_LEN} bytes"),
            Self::NoNumber(name) => write!(f, "{name} is not a number"),
            Self::Twice(name) => write!(f, "{name} is there more than once"),
            Self::PartAlone => f.write_str("_HLS_part needs _HLS_msn beside it"),
            Self::FarMsn { asked, most } => {
                write!(
                    f,
                    "_HLS_msn={asked} is too far ahead: {most} is the most that can be waited for"
                )
            }
            Self::FarPart { asked, most } => {
                write!(
                    f,
                    "_HLS_part={asked} is too far ahead: {most} is the most that can be waited for"
                )
            }
        }
    }
}

/// RFC 3986 section 2.1 undone, within a bound.
#[derive(Clone, Copy)]
struct Decoded<const N: usize> {
    bytes: [u8; N],
    /// `None` if it is no text of ours: broken, or longer than `N`.
    len: Option<usize>,
}

impl<const N: usize> Decoded<N> {
    fn new(text: &str) -> Self {
        let mut decoded = Self { bytes: [0; N], len: None };
        let mut rest = text.as_bytes();
        let mut len = 0;
        while let Some((first, behind)) = rest.split_first() {
            let byte = match (first, behind) {
                (b'%', [high, low, after @ ..]) => {
                    rest = after;
                    hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low)
                }
                (b'%', _) => None,
                (byte, after) => {
                    rest = after;
                    Some(*byte)
                }
            };
            let (Some(byte), Some(slot)) = (byte, decoded.bytes.get_mut(len)) else {
                return decoded;
            };
            *slot = byte;
            len += 1;
        }
        decoded.len = Some(len);
        decoded
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len?)
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// Digits and nothing else, as a number or the largest there is.
fn digits(bytes: &[u8]) -> Option<u64> {
    let number = |sum: u64, digit: &u8| {
        digit
            .is_ascii_digit()
            .then(|| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    };
    if bytes.is_empty() { None } else { bytes.iter().try_fold(0, number) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fault(query: &str) -> Option<Fault> {
        Directives::parse(query).fault
    }

    #[test]
    fn they_are_read_in_any_order_among_others() {
        let asked = Directives::parse("token=a%zzb&_HLS_part=3&x&_HLS_skip=YES&=&_HLS_msn=0012");
        let want = Directives { msn: Some(12), part: Some(3), skip: true, fault: None };
        assert_eq!(asked, want);
        assert_eq!(Directives::parse(""), Directives::default());
        assert_eq!(
            Directives::parse("token=x&_HLS_primary_id=7&_HLS_push=1"),
            Directives::default()
        );
        assert_eq!(Directives::parse("_HLS_msn=1").msn, Some(1));
    }

    #[test]
    fn a_percent_code_is_what_it_stands_for() {
        let asked = Directives::parse("_HLS%5Fmsn=%31%32&%5fHLS_skip=%76%32");
        assert_eq!((asked.msn, asked.skip, asked.fault), (Some(12), true, None));
        assert_eq!(fault("_HLS_msn=1%"), Some(Fault::NoNumber(Name::Msn)));
        assert_eq!(fault("_HLS_msn=1%4"), Some(Fault::NoNumber(Name::Msn)));
        assert_eq!(fault("_HLS_msn=1%g1"), Some(Fault::NoNumber(Name::Msn)));
        assert_eq!(fault("_HLS_msn=1%00"), Some(Fault::NoNumber(Name::Msn)));
        assert_eq!(fault("%_HLS_msn=x&_HLS_m%=x"), None, "no directives of ours");
    }

    #[test]
    fn what_is_no_number_is_a_fault() {
        for value in ["", "abc", "-1", "+1", "1.5", "0x10", " 1", "1 ", "1e3", "\u{661}", "%2D1"] {
            assert_eq!(
                fault(&format!("_HLS_msn={value}")),
                Some(Fault::NoNumber(Name::Msn)),
                "{value:?}"
            );
            let query = format!("_HLS_msn=1&_HLS_part={value}");
            assert_eq!(fault(&query), Some(Fault::NoNumber(Name::Part)), "{value:?}");
        }
        assert_eq!(fault("_HLS_msn"), Some(Fault::NoNumber(Name::Msn)));
        let long = format!("_HLS_msn={}", "0".repeat(33));
        assert_eq!(fault(&long), Some(Fault::NoNumber(Name::Msn)), "longer than any number");
    }

    #[test]
    fn a_huge_number_is_the_largest() {
        let asked =
            Directives::parse("_HLS_msn=99999999999999999999999999&_HLS_part=18446744073709551616");
        assert_eq!((asked.msn, asked.part), (Some(u64::MAX), Some(u64::MAX)));
    }

    #[test]
    fn a_part_needs_a_segment() {
        assert_eq!(fault("_HLS_part=1"), Some(Fault::PartAlone));
        assert_eq!(fault("_HLS_part=x"), Some(Fault::NoNumber(Name::Part)));
    }

    #[test]
    fn what_is_there_twice_is_a_fault() {
        assert_eq!(fault("_HLS_msn=1&_HLS_msn=1"), Some(Fault::Twice(Name::Msn)));
        assert_eq!(fault("_HLS_msn=1&_HLS_part=1&_HLS_part=2"), Some(Fault::Twice(Name::Part)));
        assert_eq!(fault("_HLS_skip=v2&_HLS%5fskip=YES"), Some(Fault::Twice(Name::Skip)));
    }

    #[test]
    fn an_unknown_way_to_skip_asks_for_nothing() {
        for value in ["NO", "yes", "v3", "", "YES%00"] {
            let asked = Directives::parse(&format!("_HLS_skip={value}"));
            assert_eq!((asked.skip, asked.fault), (false, None), "{value:?}");
        }
    }

    #[test]
    fn a_query_without_end_is_a_fault() {
        assert_eq!(fault(&"a".repeat(MAX_LEN + 1)), Some(Fault::TooLong));
        assert_eq!(fault(&"&_HLS_msn=1".repeat(100)), Some(Fault::Twice(Name::Msn)));
    }

    #[test]
    fn every_fault_says_what_it_is() {
        let faults = [
            Fault::TooLong,
            Fault::NoNumber(Name::Part),
            Fault::Twice(Name::Skip),
            Fault::PartAlone,
            Fault::FarMsn { asked: 9, most: 3 },
            Fault::FarPart { asked: 90, most: 30 },
        ];
        let said = faults.map(|fault| fault.to_string()).join("\n");
        assert_eq!(
            said,
            "the query has more than 8192 bytes\n\
             _HLS_part is not a number\n\
             _HLS_skip is there more than once\n\
             _HLS_part needs _HLS_msn beside it\n\
             _HLS_msn=9 is too far ahead: 3 is the most that can be waited for\n\
             _HLS_part=90 is too far ahead: 30 is the most that can be waited for"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(query in ".*") {
            let _ = Directives::parse(&query);
        }

        #[test]
        fn what_players_write_is_read(msn: u64, part in proptest::option::of(any::<u32>()), skip: bool) {
            let part_text = part.map(|p| format!("&_HLS_part={p}")).unwrap_or_default();
            let query = format!("_HLS_msn={msn}{part_text}{}", if skip { "&_HLS_skip=YES" } else { "" });
            let want = Directives { msn: Some(msn), part: part.map(u64::from), skip, fault: None };
            prop_assert_eq!(Directives::parse(&query), want);
        }
    }
}
