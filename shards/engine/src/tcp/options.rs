//! TCP options (RFC 9293, section 3.2; RFC 7323; RFC 2018).

/// The options the emulation looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size in bytes.
    pub mss: Option<u16>,
    /// Window scale, at most 14 (RFC 7323, section 2.3: a larger one counts as 14).
    pub window_scale: Option<u8>,
    /// Timestamp value and echo reply.
    pub timestamp: Option<(u32, u32)>,
    /// SACK permitted.
    pub sack_permitted: bool,
}

impl Options {
    /// Parses the bytes between the fixed header and the payload. A malformed option ends the list; those before it count.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let [kind, rest @ ..] = bytes {
            match kind {
                0 => break,
                1 => bytes = rest,
                _ => {
                    let Some(len) = rest.first().map(|len| usize::from(*len)) else {
                        break;
                    };
                    // A length of 0 or 1 cannot cover kind and length themselves: no way to go on from here.
                    if len < 2 || len > bytes.len() {
                        break;
                    }
                    options.take(*kind, &bytes[2..len]);
                    bytes = &bytes[len..];
                }
            }
        }
        options
    }

    fn take(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (2, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (3, &[shift]) => self.window_scale = Some(shift.min(14)),
            (4, []) => self.sack_permitted = true,
            (8, &[a, b, c, d, e, f, g, h]) => {
                self.timestamp = Some((
                    u32::from_be_bytes([a, b, c, d]),
                    u32::from_be_bytes([e, f, g, h]),
                ));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_syn_options() {
        let bytes = [
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        let options = Options::parse(&bytes);
        assert_eq!(options.mss, Some(1460));
        assert_eq!(options.window_scale, Some(7));
        assert_eq!(options.timestamp, Some((9, 0)));
        assert!(options.sack_permitted);
    }

    #[test]
    fn a_scale_above_14_counts_as_14() {
        assert_eq!(Options::parse(&[3, 3, 200]).window_scale, Some(14));
    }

    #[test]
    fn malformed_lengths_end_the_list() {
        for bytes in [
            &[2, 0, 5, 0xb4][..],
            &[2, 1],
            &[2, 40, 1],
            &[2],
            &[1, 1, 8, 10, 1],
        ] {
            let options = Options::parse(bytes);
            assert_eq!(options, Options::default(), "{bytes:?}");
        }
        let options = Options::parse(&[3, 3, 2, 5, 0, 2, 4, 5, 0xb4]);
        assert_eq!((options.window_scale, options.mss), (Some(2), None));
    }
}
