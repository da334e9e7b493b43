//! A file that is read again when it changes.

use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use signal_hook::consts::SIGHUP;

use super::Ticks;
use super::signals::Request;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A file of rules or the like, to be read again when it has changed and on SIGHUP; or a text built in, where the user
/// names no file. What is in force stays with the program, so that a file with a mistake changes nothing.
///
/// A change shows in the file's inode, length or time. Whoever replaces it by renaming a complete one is safe; one
/// that is written in place is read once it has looked the same twice, 100 ms apart.
#[derive(Debug)]
pub struct Watched {
    /// `None`: the text is built in.
    path: Option<PathBuf>,
    /// What the file looked like when it was read, and when it was last looked at.
    read: Option<Looks>,
    seen: Option<Looks>,
    look: Ticks,
    asked: Request,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Looks {
    inode: u64,
    len: u64,
    changed: (i64, i64),
}

impl Looks {
    /// `None` where there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self {
            inode: about.ino(),
            len: about.len(),
            changed: (about.mtime(), about.mtime_nsec()),
        })
    }
}

/// Why a file cannot be used. The message begins with its path.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What it says is wrong.
    #[error("{}:{reason}", path.display())]
    Content {
        /// Which; `built in` for the text that is.
        path: PathBuf,
        /// Where, and what is wrong there, as in `2: a port is missing`.
        reason: String,
    },
}

impl Watched {
    /// Catches SIGHUP from now on, for the rest of the process. Reads nothing yet.
    ///
    /// # Errors
    /// [`Error::Signals`](crate::Error::Signals) where the operating system refuses.
    pub fn new(path: Option<PathBuf>) -> crate::Result<Self> {
        Ok(Self {
            path,
            read: None,
            seen: None,
            look: Ticks::every(LOOK_EVERY),
            asked: Request::by(SIGHUP)?,
        })
    }

    /// What `parse` makes of the file as it is now, or of `built_in` where there is none. The error of `parse` begins with
    /// the number of the line.
    ///
    /// # Errors
    /// [`LoadError`]. The file then counts as read, and is named once, not at every look.
    pub fn load<T, E: Display>(
        &mut self,
        built_in: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, LoadError> {
        let Some(path) = &self.path else {
            return parse(built_in).map_err(|error| content(Path::new("built in"), error));
        };
        // What comes between this and the reading is read twice rather than not at all.
        self.read = Looks::of(path);
        let text = fs::read_to_string(path).map_err(|source| LoadError::Read {
            path: path.clone(),
            source,
        })?;
        parse(&text).map_err(|error| content(path, error))
    }

    /// Whether it should be [loaded](Self::load) again: the signal came, or the file is another than the one that was read
    /// and changes no more. Looks at the file every 100 ms, however often it is asked.
    pub fn has_changed(&mut self) -> bool {
        self.asked.take() || self.look.is_due() && self.is_another()
    }

    /// Whether the file is another one, and looks as it did the last time.
    fn is_another(&mut self) -> bool {
        let now = self.path.as_deref().and_then(Looks::of);
        let is_settled = now == self.seen;
        self.seen = now;
        is_settled && now.is_some() && now != self.read
    }
}

fn content(path: &Path, error: impl Display) -> LoadError {
    LoadError::Content {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::low_level::raise;

    use super::*;

    /// Each line is a number.
    fn numbers(text: &str) -> Result<Vec<u8>, String> {
        let numbers = text.lines().zip(1..).map(|(line, at)| {
            let number = line.parse();
            number.map_err(|_| format!("{at}: {line} is no number"))
        });
        numbers.collect()
    }

    fn written(text: &str) -> (tempfile::TempDir, PathBuf, Watched) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        fs::write(&path, text).unwrap();
        let watched = Watched::new(Some(path.clone())).unwrap();
        (folder, path, watched)
    }

    #[test]
    fn a_file_that_stays_as_it_was_read_has_not_changed() {
        let (_folder, _, mut file) = written("1\n2");
        assert_eq!(file.load("9", numbers).unwrap(), [1, 2]);
        assert!((0..3).all(|_| !file.is_another()));
    }

    #[test]
    fn a_change_counts_once_it_has_settled_and_until_it_is_read() {
        let (_folder, path, mut file) = written("1");
        file.load("", numbers).unwrap();
        assert!(!file.is_another());
        for text in ["12", "123"] {
            fs::write(&path, text).unwrap();
            assert!(!file.is_another(), "it may still be written");
        }
        assert!(file.is_another() && file.is_another());
        assert_eq!(file.load("", numbers).unwrap(), [123]);
        assert!(!file.is_another());
    }

    #[test]
    fn another_file_of_the_same_length_and_time_is_another() {
        let (folder, path, mut file) = written("1");
        file.load("", numbers).unwrap();
        assert!(!file.is_another());
        let new = folder.path().join("new");
        fs::write(&new, "2").unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let opened = fs::File::options().write(true).open(&new).unwrap();
        opened.set_modified(time).unwrap();
        fs::rename(new, path).unwrap();
        assert!(!file.is_another());
        assert!(file.is_another());
    }

    #[test]
    fn a_file_that_is_gone_is_waited_for() {
        let (_folder, path, mut file) = written("1");
        file.load("", numbers).unwrap();
        fs::remove_file(&path).unwrap();
        assert!((0..3).all(|_| !file.is_another()));
        fs::write(&path, "22").unwrap();
        assert!(!file.is_another());
        assert!(file.is_another());
    }

    #[test]
    fn faults_name_the_file_and_the_place_and_are_told_once() {
        let (_folder, path, mut file) = written("1\ntwo");
        let error = file.load("", numbers).unwrap_err().to_string();
        assert_eq!(error, format!("{}:2: two is no number", path.display()));
        assert!((0..3).all(|_| !file.is_another()));
        fs::remove_file(&path).unwrap();
        let error = file.load("", numbers).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: No such file", path.display())));
    }

    #[test]
    fn a_text_built_in_does_not_change() {
        let mut built_in = Watched::new(None).unwrap();
        assert_eq!(built_in.load("7", numbers).unwrap(), [7]);
        let error = built_in.load("x", numbers).unwrap_err().to_string();
        assert_eq!(error, "built in:1: x is no number");
        assert!((0..3).all(|_| !built_in.is_another()));
    }

    /// Asked all the time, the file is looked at seldom: both looks of a change are 100 ms apart. The signal is heard at once.
    #[test]
    fn two_looks_are_apart_and_a_signal_waits_for_none() {
        let (_folder, path, mut file) = written("1");
        file.load("", numbers).unwrap();
        let begin = mosaic_runtime::clock::monotonic();
        fs::write(path, "22").unwrap();
        while !file.has_changed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(mosaic_runtime::clock::monotonic() - begin >= LOOK_EVERY);
        file.load("", numbers).unwrap();
        assert!(!file.has_changed());
        raise(SIGHUP).unwrap();
        assert!(file.has_changed());
        assert!(!file.has_changed());
    }
}
