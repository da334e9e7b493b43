//! Sets headers of HTTP/1 messages on their way, whatever that does to their length.
//!
//! ```text
//! cargo run --example http_rewrite                                       # what it would change in captures of this repository
//! cargo run --example http_rewrite -- --response 'Server: none of your business' monday.pcap
//! cargo run --example http_rewrite -- --request User-Agent: --request 'Via: 1.1 mosaic' monday.pcap
//! cargo run --features dpdk --example http_rewrite -- --response Server:hidden --config mosaic.toml
//! ```
//!
//! `--request` and `--response` say what a header of requests, or of responses, is to be: it takes the place of one that is
//! there, and is added where there is none; without a value it is taken out. They may be given several times.
//!
//! A head may come in any number of segments. What has come of one that is not complete is held back: cut out of its
//! segment, and put before the next one once it is. Bodies pass untouched. What is not HTTP/1, or has a head of more than
//! 16 KiB, passes as it is, from there on.
//!
//! With `--hook receive` heads change only on the way out: monitors of the receiver see what was sent.
//!
//! In captures nothing can be changed: each head that would be is printed. Counts are printed at the end.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::VecDeque;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use mosaic::config::Source;
use mosaic::prelude::*;

/// Sets headers of HTTP/1 messages
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// A header of requests
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    request: Vec<Header>,
    /// A header of responses; `Server: mosaic` where none is given at all
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    response: Vec<Header>,
    /// Connections that are looked at
    #[arg(long, value_name = "EXPRESSION", default_value = "tcp port 80")]
    filter: String,
    /// Where heads are changed: at `send`, so that monitors of the receiver see what it gets, or at `receive`, where they see
    /// what was sent
    #[arg(long, default_value = "send")]
    hook: At,
}

/// A hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum At {
    Send,
    Receive,
}

/// What a header is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Header {
    name: String,
    /// Taken out where it is empty.
    value: String,
}

fn header(text: &str) -> Result<Header, &'static str> {
    let (name, value) = text.split_once(':').ok_or("a colon is missing")?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("this is no name of a header");
    }
    let framing = [
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
    ];
    if framing.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
        return Err("this header says where messages end");
    }
    if value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("a value has no control characters");
    }
    Ok(Header {
        name: name.to_owned(),
        value: value.trim().to_owned(),
    })
}

/// What was done, of all shards; counted once a head.
#[derive(Default)]
struct Counts {
    heads: [AtomicU64; 2],
    changed: [AtomicU64; 2],
    /// Heads that came in several segments.
    split: [AtomicU64; 2],
    /// Segments that had to be sent again, since there was no room to change them.
    put_off: AtomicU64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let here = env!("CARGO_MANIFEST_DIR");
    let captures = ["http", "lossy"].map(|name| format!("{here}/tests/captures/{name}.pcap"));
    let plan = args.source.plan_or(captures)?;
    let mut wanted = [args.request, args.response];
    if wanted.iter().all(Vec::is_empty) {
        wanted[1].push(header("Server: mosaic")?);
    }
    let hook = match args.hook {
        At::Send => Hook::Send,
        At::Receive => Hook::Receive,
    };
    let (wanted, counts) = (Arc::new(wanted), Arc::new(Counts::default()));
    let (of_shards, prints) = (Arc::clone(&counts), args.source.config.is_none());
    let report = Runtime::builder()
        .plan(plan)
        .actor("http-rewrite", move |_shard| Rewriter {
            wanted: Arc::clone(&wanted),
            counts: Arc::clone(&of_shards),
            filter: args.filter.clone(),
            hook,
            prints,
        })
        .attend("http_rewrite", |_| ())?;
    counts.print();
    Ok(report.into_result()?)
}

impl Counts {
    fn print(&self) {
        println!(
            "{:<10}{:>10}{:>10}{:>10}",
            "", "heads", "changed", "in pieces"
        );
        for (side, name) in Side::BOTH.into_iter().zip(["requests", "responses"]) {
            let [heads, changed, split] = [&self.heads, &self.changed, &self.split]
                .map(|counts| counts[side as usize].load(Ordering::Relaxed));
            println!("{name:<10}{heads:>10}{changed:>10}{split:>10}");
        }
        let put_off = self.put_off.load(Ordering::Relaxed);
        if put_off > 0 {
            println!("{put_off} segments were put off");
        }
    }
}

/// Counts one more.
fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

struct Rewriter {
    wanted: Arc<[Vec<Header>; 2]>,
    counts: Arc<Counts>,
    filter: String,
    hook: Hook,
    prints: bool,
}

impl Actor for Rewriter {
    type Flow = Conversation;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let filter = mosaic::filter::flows(&self.filter)?;
        shard
            .monitor_stream(Some(filter))
            .packets(self.hook)
            .edits()
            .open()?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        conversation: &mut Conversation,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _hook: Hook,
    ) -> Verdict {
        let (Some(from), Some(offset)) = (flow.fresh_from(), flow.fresh_offset()) else {
            return Verdict::Forward;
        };
        let (side, fresh) = (packet.sender, &packet.payload()[from..]);
        let ends = packet.ends();
        if fresh.is_empty() && !ends {
            return Verdict::Forward;
        }
        let mut next = conversation.streams[side as usize].clone();
        let missing = next.offset != offset && next.offset != 0;
        let mut work = Work {
            side,
            methods: &conversation.methods,
            wanted: &self.wanted[side as usize],
            out: Vec::with_capacity(fresh.len() + 256),
            heads: Vec::new(),
        };
        if missing {
            // Bytes that nobody has seen: where the next message begins is not known any more.
            work.give_up(&mut next);
        }
        work.take(&mut next, fresh);
        if ends {
            work.give_up(&mut next);
        }
        let Work { out, heads, .. } = work;
        if out != fresh && flow.replace_payload(from, fresh.len(), &out).is_err() {
            // Nothing was decided: its sender sends it again, and there may be room then.
            count(&self.counts.put_off);
            return Verdict::DropUnseen;
        }
        next.offset = offset + out.len() as u64;
        conversation.streams[side as usize] = next;
        for head in heads {
            self.note(conversation, flow, side, &head);
        }
        let over = |stream: &Stream| matches!(stream.part, Part::Through);
        if conversation.streams.iter().all(over) {
            flow.stop();
        }
        Verdict::Forward
    }
}

/// What the packet says besides its payload.
trait Ends {
    /// Whether its sender sends nothing more.
    fn ends(&self) -> bool;
}

impl Ends for PacketView<'_> {
    fn ends(&self) -> bool {
        let flags_at = self.packet.transport_at as usize + 13;
        self.bytes.get(flags_at).is_some_and(|flags| flags & 1 != 0)
    }
}

impl Rewriter {
    /// A head is on its way.
    fn note(
        &self,
        conversation: &mut Conversation,
        flow: &FlowContext<'_>,
        side: Side,
        head: &Head,
    ) {
        count(&self.counts.heads[side as usize]);
        if head.is_split {
            count(&self.counts.split[side as usize]);
        }
        if head.is_changed {
            count(&self.counts.changed[side as usize]);
            if self.prints {
                let (client, server) = (flow.endpoint(Side::Client), flow.endpoint(Side::Server));
                println!("{client} -> {server} {}", head.change);
            }
        }
        match (side, head.method) {
            (Side::Client, Some(method)) if conversation.methods.len() < METHODS_MAX => {
                conversation.methods.push_back(method);
            }
            // More requests ahead of their answers than anybody sends.
            (Side::Client, _) => conversation.streams[1].part = Part::Through,
            (Side::Server, _) => {
                if head.is_final {
                    conversation.methods.pop_front();
                }
                if head.ends_http {
                    conversation.streams[0].part = Part::Through;
                }
            }
        }
    }
}

/// Requests whose answers have not come.
const METHODS_MAX: usize = 256;
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 128;
const CHUNK_LINE_MAX: usize = 1 << 10;

/// What is kept of a connection.
#[derive(Default)]
struct Conversation {
    streams: [Stream; 2],
    methods: VecDeque<Method>,
}

/// What decides where the answer to a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Method {
    Head,
    Connect,
    Other,
}

/// One direction.
#[derive(Clone, Default)]
struct Stream {
    part: Part,
    /// Where the next byte stands, as the receiver counts.
    offset: u64,
}

/// Where in its messages a stream stands.
#[derive(Clone)]
enum Part {
    /// In a head, of which this much is held back.
    Head(Vec<u8>),
    /// In a body with so many bytes left.
    Body(u64),
    /// In the line before a chunk.
    ChunkLine(Vec<u8>),
    /// In a chunk with so many bytes left, those of the line's end included.
    Chunk(u64),
    /// In a line behind the last chunk.
    Trailer(Vec<u8>),
    /// In what is no more looked at.
    Through,
}

impl Default for Part {
    fn default() -> Self {
        Self::Head(Vec::new())
    }
}

/// A complete head.
struct Head {
    method: Option<Method>,
    is_split: bool,
    is_changed: bool,
    /// The lines that were changed.
    change: String,
    /// It is no interim response.
    is_final: bool,
    /// What follows it is another protocol.
    ends_http: bool,
}

/// New bytes of one segment, on their way.
struct Work<'w> {
    side: Side,
    methods: &'w VecDeque<Method>,
    wanted: &'w [Header],
    out: Vec<u8>,
    heads: Vec<Head>,
}

impl Work<'_> {
    /// Takes bytes of the stream.
    fn take(&mut self, stream: &mut Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = match &mut stream.part {
                Part::Head(held) => {
                    let before = held.len();
                    held.extend(bytes);
                    let taken = self.take_head(&mut stream.part, before);
                    taken.unwrap_or(bytes.len())
                }
                Part::Body(left) | Part::Chunk(left) => {
                    let taken =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= taken as u64;
                    self.out.extend(&bytes[..taken]);
                    if *left == 0 {
                        stream.part = match stream.part {
                            Part::Chunk(_) => Part::ChunkLine(Vec::new()),
                            _ => Part::default(),
                        };
                    }
                    taken
                }
                Part::ChunkLine(line) | Part::Trailer(line) => {
                    let end = bytes
                        .iter()
                        .position(|byte| *byte == b'\n')
                        .map_or(bytes.len(), |at| at + 1);
                    line.extend(&bytes[..end]);
                    self.out.extend(&bytes[..end]);
                    if line.ends_with(b"\n") || line.len() > CHUNK_LINE_MAX {
                        stream.part = after_line(&stream.part);
                    }
                    end
                }
                Part::Through => {
                    self.out.extend(bytes);
                    bytes.len()
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Takes the head that is held, if it is complete. `before` bytes of it came earlier; gives how many came now.
    fn take_head(&mut self, part: &mut Part, before: usize) -> Option<usize> {
        let Part::Head(held) = part else { return None };
        let parsed = match self.side {
            Side::Client => parse_request(held),
            Side::Server => {
                // Of the responses in this segment, each has its own request.
                let answered = self.heads.iter().filter(|head| head.is_final).count();
                parse_response(held, self.methods.get(answered).copied())
            }
        };
        match parsed {
            Parsed::Incomplete if held.len() < HEAD_MAX => None,
            Parsed::Incomplete | Parsed::Other => {
                self.out.append(held);
                *part = Part::Through;
                None
            }
            Parsed::Complete {
                len,
                mut head,
                then,
            } => {
                self.put_head(&held[..len], &mut head);
                head.is_split = before > 0;
                self.heads.push(head);
                *part = then;
                Some(len - before)
            }
        }
    }

    /// What is held goes on as it came, and nothing is looked at any more.
    fn give_up(&mut self, stream: &mut Stream) {
        if let Part::Head(held) = &mut stream.part {
            self.out.append(held);
        }
        stream.part = Part::Through;
    }

    /// Adds a head with its headers set.
    fn put_head(&mut self, bytes: &[u8], head: &mut Head) {
        let mut is_set = vec![false; self.wanted.len()];
        let start = self.out.len();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let wanted = self
                .wanted
                .iter()
                .position(|wanted| name.eq_ignore_ascii_case(wanted.name.as_bytes()));
            if matches!(line, b"\r\n" | b"\n") {
                for (wanted, _) in self
                    .wanted
                    .iter()
                    .zip(&is_set)
                    .filter(|(_, is_set)| !**is_set)
                {
                    put_header(&mut self.out, wanted, None, head);
                }
            }
            match wanted {
                Some(number) if !is_set[number] => {
                    is_set[number] = true;
                    put_header(&mut self.out, &self.wanted[number], Some(line), head);
                }
                // A second one of the name would say something else.
                Some(_) => {}
                None => self.out.extend(line),
            }
        }
        head.is_changed = self.out[start..] != *bytes;
    }
}

/// Adds a header in the place of `old`.
fn put_header(out: &mut Vec<u8>, wanted: &Header, old: Option<&[u8]>, head: &mut Head) {
    let Header { name, value } = wanted;
    let new = if value.is_empty() {
        String::new()
    } else {
        format!("{name}: {value}\r\n")
    };
    out.extend(new.as_bytes());
    let old = old.map(|line| String::from_utf8_lossy(line));
    let old = old.as_deref().unwrap_or_default();
    if old != new {
        let separator = if head.change.is_empty() { "" } else { ", " };
        head.change += &format!("{separator}\"{}\" to \"{}\"", old.trim(), new.trim());
    }
}

/// What comes behind a line of chunked coding (RFC 9112, section 7.1).
fn after_line(part: &Part) -> Part {
    match part {
        Part::Trailer(line) if matches!(&line[..], b"\r\n" | b"\n") => Part::default(),
        Part::Trailer(_) => Part::Trailer(Vec::new()),
        Part::ChunkLine(line) => match httparse::parse_chunk_size(line) {
            Ok(httparse::Status::Complete((_, 0))) => Part::Trailer(Vec::new()),
            Ok(httparse::Status::Complete((_, len))) => {
                len.checked_add(2).map_or(Part::Through, Part::Chunk)
            }
            _ => Part::Through,
        },
        _ => Part::Through,
    }
}

/// What is in the bytes of a head.
enum Parsed {
    Incomplete,
    /// No HTTP/1.
    Other,
    Complete {
        len: usize,
        head: Head,
        then: Part,
    },
}

fn complete(len: usize, method: Option<Method>, then: Part) -> Parsed {
    let head = Head {
        method,
        is_split: false,
        is_changed: false,
        change: String::new(),
        is_final: true,
        ends_http: false,
    };
    Parsed::Complete { len, head, then }
}

fn parse_request(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let len = match request.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Parsed::Incomplete,
        Err(_) => return Parsed::Other,
    };
    let method = match request.method {
        Some("HEAD") => Method::Head,
        Some("CONNECT") => Method::Connect,
        _ => Method::Other,
    };
    let then = match body(request.headers) {
        Framing::None => Part::default(),
        Framing::Length(0) => Part::default(),
        Framing::Length(len) => Part::Body(len),
        Framing::Chunked => Part::ChunkLine(Vec::new()),
        Framing::Unclear => Part::Through,
    };
    complete(len, Some(method), then)
}

fn parse_response(bytes: &[u8], method: Option<Method>) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Parsed::Incomplete,
        Err(_) => return Parsed::Other,
    };
    let code = response.code.unwrap_or(0);
    let ends_http = code == 101 || method == Some(Method::Connect) && (200..300).contains(&code);
    let is_final = !(100..200).contains(&code);
    let has_body = is_final && method != Some(Method::Head) && code != 204 && code != 304;
    // RFC 9112, section 6.3.
    let then = match body(response.headers) {
        _ if ends_http => Part::Through,
        _ if !has_body => Part::default(),
        Framing::Length(0) => Part::default(),
        Framing::Length(len) => Part::Body(len),
        Framing::Chunked => Part::ChunkLine(Vec::new()),
        Framing::None | Framing::Unclear => Part::Through,
    };
    match complete(len, None, then) {
        Parsed::Complete { len, head, then } => Parsed::Complete {
            len,
            head: Head {
                is_final,
                ends_http,
                ..head
            },
            then,
        },
        other => other,
    }
}

/// How a body says where it ends.
enum Framing {
    None,
    Length(u64),
    Chunked,
    Unclear,
}

fn body(headers: &[httparse::Header<'_>]) -> Framing {
    let mut framing = Framing::None;
    for header in headers {
        let value = str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return if value.eq_ignore_ascii_case("chunked") {
                Framing::Chunked
            } else {
                Framing::Unclear
            };
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            framing = value.parse().map_or(Framing::Unclear, Framing::Length);
        }
    }
    framing
}
