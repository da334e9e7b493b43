//! The words of configuration: the same in files and on the command line.

use std::str::FromStr;

use clap::ValueEnum;
use mosaic_engine::shard as engine;
use mosaic_engine::wire;
use mosaic_runtime as runtime;
use serde::{Deserialize, Deserializer};

/// Declares an enum of words, each documented, and what each stands for.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident => $target:path { $($(#[doc = $doc:literal])+ $word:ident => $value:path,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ValueEnum)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[doc = $doc])+ $word,)+ }

        impl From<$name> for $target {
            fn from(word: $name) -> Self {
                match word { $($name::$word => $value,)+ }
            }
        }
    };
}

words! {
    /// What is done about IPv4, TCP and UDP checksums.
    Checksums => wire::Checksums {
        /// Packets with a wrong checksum are dropped and counted.
        Verify => wire::Checksums::Verify,
        /// Taken as they are: for captures from hosts that leave checksums to their network card.
        Ignore => wire::Checksums::Ignore,
    }
}

words! {
    /// What is done with the frames of IP fragments on their way through a wire.
    Fragments => wire::FragmentPolicy {
        /// They pass as they come, but for the one that completes a datagram.
        Pass => wire::FragmentPolicy::Pass,
        /// They wait until their datagram is complete, and leave with it.
        Hold => wire::FragmentPolicy::Hold,
    }
}

words! {
    /// Which segments may add bytes to a stream.
    Profile => engine::Profile {
        /// Whatever was captured at an offset from 0.
        Record => engine::Profile::Record,
        /// What a receiver would accept (RFC 9293, 5961, 7323).
        Receiver => engine::Profile::Receiver,
    }
}

words! {
    /// Which copy of a byte that was sent more than once counts, as long as the byte waits behind a hole.
    Overlap => engine::OverlapPolicy {
        /// The first.
        First => engine::OverlapPolicy::First,
        /// The last.
        Last => engine::OverlapPolicy::Last,
        /// As FreeBSD 4, NetBSD 2, OpenBSD 3 and later do.
        Bsd => engine::OverlapPolicy::Bsd,
        /// The mirror of it.
        BsdRight => engine::OverlapPolicy::BsdRight,
        /// As Linux 2.4 and later.
        Linux => engine::OverlapPolicy::Linux,
        /// As Linux 2.2 and earlier.
        OldLinux => engine::OverlapPolicy::OldLinux,
        /// As Solaris 9 and later.
        Solaris => engine::OverlapPolicy::Solaris,
        /// As Windows 95 to XP.
        Windows => engine::OverlapPolicy::Windows,
        /// As Windows Server 2003.
        Windows2003 => engine::OverlapPolicy::Windows2003,
        /// As Windows Vista and later.
        Vista => engine::OverlapPolicy::Vista,
        /// As HP-UX 10.
        Hpux10 => engine::OverlapPolicy::Hpux10,
        /// As HP-UX 11 and later.
        Hpux11 => engine::OverlapPolicy::Hpux11,
        /// As IRIX 6 and later.
        Irix => engine::OverlapPolicy::Irix,
        /// As Mac OS 10.3 and later.
        Macos => engine::OverlapPolicy::MacOs,
    }
}

words! {
    /// What a shard without work does.
    Idle => runtime::Idle {
        /// Sleeps between polls, at most 250 microseconds at a time.
        Adaptive => runtime::Idle::Adaptive,
        /// Polls on: one core at 100 %.
        Spin => runtime::Idle::Spin,
    }
}

words! {
    /// Whether shards stay on one core.
    Pin => runtime::Pin {
        /// Where there are cores enough.
        Auto => runtime::Pin::Auto,
        /// The operating system places the threads.
        Never => runtime::Pin::Never,
    }
}

words! {
    /// What becomes of the packet in flight when an actor panics.
    OnPanic => runtime::OnPanic {
        /// It goes on its way.
        Forward => runtime::OnPanic::Forward,
        /// It goes no further.
        Drop => runtime::OnPanic::Drop,
    }
}

/// An identifier that joins the flow key, so that equal addresses behind different ones stay apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KeyPart {
    /// VLAN identifiers.
    Vlan,
    /// Tunnel identifiers (VXLAN, Geneve, GRE key, GTP ...).
    Tunnel,
}

impl KeyPart {
    /// The parts together.
    pub fn domain(parts: &[Self]) -> wire::KeyDomain {
        wire::KeyDomain {
            vlan: parts.contains(&Self::Vlan),
            tunnel: parts.contains(&Self::Tunnel),
        }
    }
}

/// A timeout in whole seconds, or `never`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeout {
    /// `None`: never.
    pub seconds: Option<u64>,
}

impl Timeout {
    /// The longest: a hundred years.
    pub const SECONDS_MAX: u64 = 100 * 366 * 24 * 3600;

    /// In nanoseconds, as the engine has it.
    pub fn nanos(self) -> Option<u64> {
        self.seconds
            .map(|seconds| seconds.saturating_mul(1_000_000_000))
    }

    fn from_seconds(seconds: u64) -> Result<Self, &'static str> {
        if (1..=Self::SECONDS_MAX).contains(&seconds) {
            Ok(Self {
                seconds: Some(seconds),
            })
        } else {
            Err(Self::EXPECTED)
        }
    }

    const EXPECTED: &'static str = "must be a number of seconds from 1, or never";
}

impl FromStr for Timeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" {
            return Ok(Self { seconds: None });
        }
        text.parse()
            .map_err(|_| Self::EXPECTED)
            .and_then(Self::from_seconds)
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Seconds(u64),
            Word(String),
        }
        let timeout = match Shape::deserialize(deserializer) {
            Ok(Shape::Seconds(seconds)) => Self::from_seconds(seconds),
            Ok(Shape::Word(word)) if word == "never" => Ok(Self { seconds: None }),
            Ok(Shape::Word(_)) | Err(_) => Err(Self::EXPECTED),
        };
        timeout.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word is the same in a file and on the command line, and every policy has one.
    #[test]
    fn overlap_policies_have_words() {
        #[derive(Deserialize)]
        struct File {
            overlap: Overlap,
        }
        let mut policies = Vec::new();
        for word in Overlap::value_variants() {
            let name = word.to_possible_value().unwrap();
            let text = format!("overlap = \"{}\"", name.get_name());
            assert_eq!(toml::from_str::<File>(&text).unwrap().overlap, *word);
            policies.push(engine::OverlapPolicy::from(*word));
        }
        assert_eq!(policies, engine::OverlapPolicy::ALL);
    }

    #[test]
    fn a_timeout_is_seconds_or_never() {
        assert_eq!("never".parse(), Ok(Timeout { seconds: None }));
        assert_eq!(
            "60".parse::<Timeout>().unwrap().nanos(),
            Some(60_000_000_000)
        );
        for refused in ["0", "-1", "1.5", "Never", "", "99999999999999"] {
            assert!(refused.parse::<Timeout>().is_err(), "{refused}");
        }
    }
}
