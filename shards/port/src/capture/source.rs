//! What captures are read from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::PortError;

/// A capture being read.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) input: Input,
    /// Offset of the first byte that is not decoded yet.
    pub(super) offset: u64,
}

/// Where its bytes come from.
pub(super) enum Input {
    /// A regular file: there is always something to read, or the end.
    File(File),
    /// A pipe, a terminal or the like, whose writer may be slow.
    Pipe(File),
    /// Unknown; waited for.
    Reader(Box<dyn Read + Send>),
}

impl Source {
    /// Opens the capture at `path`.
    pub(super) fn open(path: PathBuf) -> Result<Self, PortError> {
        let input = open(&path).and_then(|file| {
            let is_file = file.metadata()?.is_file();
            Ok(if is_file {
                Input::File(file)
            } else {
                Input::Pipe(file)
            })
        });
        match input {
            Ok(input) => Ok(Self {
                path,
                input,
                offset: 0,
            }),
            Err(error) => Err(PortError::Io {
                path,
                source: error,
            }),
        }
    }

    pub(super) fn damaged(self, reason: &'static str) -> PortError {
        PortError::Damaged {
            path: self.path,
            offset: self.offset,
            reason,
        }
    }

    pub(super) fn failed(self, error: io::Error) -> PortError {
        PortError::Io {
            path: self.path,
            source: error,
        }
    }
}

impl Input {
    /// Whether a read would wait.
    pub(super) fn would_wait(&self) -> bool {
        let Self::Pipe(pipe) = self else {
            return false;
        };
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // Where polling fails, reading will tell why.
        matches!(
            poll(&mut [PollFd::new(pipe, PollFlags::IN)], Some(&now)),
            Ok(0)
        )
    }
}

impl Read for Input {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) | Self::Pipe(file) => file.read(to),
            Self::Reader(reader) => reader.read(to),
        }
    }
}

/// The whole capture at `path`, read once into a buffer of its length.
pub(crate) fn read_all(path: &Path) -> Result<Vec<u8>, PortError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = open(path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        // Room for one byte more, so that the end is met without growing.
        let mut bytes = Vec::with_capacity(len.saturating_add(1));
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| PortError::Io {
        path: path.to_path_buf(),
        source: error,
    })
}

/// Length of the capture at `path`, in bytes; `None` where it is not a regular file.
pub(super) fn file_len(path: &Path) -> Result<Option<u64>, PortError> {
    if is_standard_input(path) {
        return Ok(None);
    }
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata.len())),
        Err(error) => Err(PortError::Io {
            path: path.to_path_buf(),
            source: error,
        }),
    }
}

fn open(path: &Path) -> io::Result<File> {
    if is_standard_input(path) {
        // Not through `Stdin`: what its buffer holds, polling would not see.
        io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(path)
    }
}

fn is_standard_input(path: &Path) -> bool {
    path == Path::new("-")
}
