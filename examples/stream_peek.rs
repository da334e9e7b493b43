//! Prints HTTP request lines and TLS server names, read from the reassembled streams of captures.
//!
//! ```text
//! cargo run --example stream_peek -- monday.pcap
//! ```
//!
//! Without an argument it reads two captures of this repository. A request may come in any number of segments, in any
//! order and repeatedly: the actor sees a stream of bytes. It keeps what it has not yet understood, up to a bound, and
//! stops listening to a connection that has nothing more to tell.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use mosaic::prelude::*;
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_extensions, parse_tls_plaintext,
};

fn main() -> mosaic::Result<()> {
    let mut captures: Vec<_> = std::env::args().skip(1).collect();
    if captures.is_empty() {
        let here = env!("CARGO_MANIFEST_DIR");
        captures = ["http", "tls"]
            .map(|name| format!("{here}/tests/captures/{name}.pcap"))
            .into();
    }
    Runtime::builder()
        .captures(captures)
        .actor("stream-peek", |_shard| StreamPeek)
        .run()
}

struct StreamPeek;

impl Actor for StreamPeek {
    type Flow = Conversation;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard
            .monitor_stream(None)
            .on(Hook::End, EventSet::NEW_DATA | EventSet::ERROR)
            .open()?;
        Ok(())
    }

    fn on_event(
        &mut self,
        conversation: &mut Conversation,
        flow: &mut FlowContext<'_>,
        event: Event,
    ) {
        match event {
            Event::NewData(Side::Client) => {}
            // Beyond a gap, nobody knows where the next request begins.
            Event::Error {
                side: Side::Client,
                error: StreamError::Gap { .. },
            } => return flow.stop(),
            _ => return,
        }
        while flow.unread(Side::Client) > 0 {
            // Bytes for which there is no room are not taken: `peek` lends them again.
            let taken = flow.peek(Side::Client, |chunks| {
                chunks.map(|chunk| conversation.take(chunk)).sum()
            });
            if taken.is_err() {
                return flow.stop();
            }
            loop {
                match conversation.understand() {
                    Found::Line(line) => print(flow, &line),
                    Found::LastLine(line) => {
                        print(flow, &line);
                        return flow.stop();
                    }
                    Found::Nothing => return flow.stop(),
                    Found::Incomplete => break,
                }
            }
        }
    }
}

fn print(flow: &FlowContext<'_>, line: &str) {
    println!(
        "{} -> {} {line}",
        flow.endpoint(Side::Client),
        flow.endpoint(Side::Server)
    );
}

/// What is kept of a connection.
#[derive(Default)]
struct Conversation {
    /// The beginning of a request or of a TLS record that is not complete; at most [`HEAD_MAX`] bytes.
    head: Vec<u8>,
    /// Bytes of a request's body still to be passed over.
    body_left: usize,
}

const HEAD_MAX: usize = 16 << 10;
const TLS_HANDSHAKE: u8 = 22;

enum Found {
    /// More may follow.
    Line(String),
    /// Nothing of interest can follow.
    LastLine(String),
    /// More bytes are needed.
    Incomplete,
    /// Neither HTTP nor TLS, or too long.
    Nothing,
}

impl Conversation {
    /// Takes as many bytes as there is room for.
    fn take(&mut self, chunk: &[u8]) -> usize {
        let passed_over = self.body_left.min(chunk.len());
        self.body_left -= passed_over;
        let kept = (chunk.len() - passed_over).min(HEAD_MAX - self.head.len());
        self.head.extend(&chunk[passed_over..passed_over + kept]);
        passed_over + kept
    }

    fn understand(&mut self) -> Found {
        let found = match self.head.first() {
            None => return Found::Incomplete,
            Some(&TLS_HANDSHAKE) => server_name(&self.head),
            Some(_) => self.request_line(),
        };
        match found {
            Found::Incomplete if self.head.len() == HEAD_MAX => Found::Nothing,
            found => found,
        }
    }

    fn request_line(&mut self) -> Found {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let head_len = match request.parse(&self.head) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Found::Incomplete,
            Err(_) => return Found::Nothing,
        };
        let line = format!(
            "{} {}",
            request.method.unwrap_or_default(),
            request.path.unwrap_or_default()
        );
        let header = |name| {
            request
                .headers
                .iter()
                .find(|header| header.name.eq_ignore_ascii_case(name))
        };
        if header("transfer-encoding").is_some() {
            // The body says itself where it ends; following that is another example.
            return Found::LastLine(line);
        }
        let length = header("content-length")
            .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
        self.head.drain(..head_len);
        self.body_left = length.unwrap_or(0);
        let already_here = self.body_left.min(self.head.len());
        self.head.drain(..already_here);
        self.body_left -= already_here;
        Found::Line(line)
    }
}

/// The name a client asks for in its ClientHello (RFC 6066, section 3).
fn server_name(record: &[u8]) -> Found {
    let messages = match parse_tls_plaintext(record) {
        Ok((_, plaintext)) => plaintext.msg,
        Err(error) if error.is_incomplete() => return Found::Incomplete,
        Err(_) => return Found::Nothing,
    };
    for message in &messages {
        let TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)) = message else {
            continue;
        };
        let extensions = hello.ext.and_then(|bytes| parse_tls_extensions(bytes).ok());
        for extension in extensions
            .into_iter()
            .flat_map(|(_, extensions)| extensions)
        {
            if let TlsExtension::SNI(names) = extension
                && let Some((_, name)) = names.first()
            {
                return Found::LastLine(format!("TLS {}", name.escape_ascii()));
            }
        }
    }
    Found::Nothing
}
