//! Values that JSON libraries would round or allocate for.

use core::fmt;

use arrayvec::ArrayString;
use mosaic_port::Timestamp;
use serde::ser::{Error, Serialize, Serializer};
use serde_json::value::RawValue;

/// A time or a duration, written as decimal seconds with all nine decimals: a double would round a nanosecond of today.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Seconds {
    /// Nanoseconds: since the Unix epoch, or between two points in time.
    pub nanos: u64,
}

impl From<Timestamp> for Seconds {
    fn from(time: Timestamp) -> Self {
        Self {
            nanos: time.as_nanos(),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Timestamp::from_nanos(self.nanos).fmt(f)
    }
}

/// A bare JSON number such as `1700000000.000000001`. Made for `serde_json`; other formats see its raw-value type.
impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^64 ns have 11 digits before the point and 9 after it.
        let mut text = ArrayString::<24>::new();
        fmt::write(&mut text, format_args!("{self}")).map_err(Error::custom)?;
        serde_json::from_str::<&RawValue>(&text)
            .map_err(Error::custom)?
            .serialize(serializer)
    }
}

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = ArrayString::<64>::new();
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        serializer.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_keep_every_nanosecond() {
        for (nanos, text) in [
            (0, "0.000000000"),
            (1, "0.000000001"),
            (1_700_000_000_000_000_001, "1700000000.000000001"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(serde_json::to_string(&Seconds { nanos }).unwrap(), text);
        }
    }

    #[test]
    fn a_digest_prints_as_it_serialises() {
        let digest = Digest(core::array::from_fn(|i| u8::try_from(i * 8).unwrap()));
        assert_eq!(
            serde_json::to_string(&digest).unwrap(),
            format!("\"{digest}\"")
        );
        assert!(digest.to_string().starts_with("00081018"));
    }
}
