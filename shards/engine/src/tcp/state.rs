//! Connection states.

use core::fmt;

/// State of an emulated endpoint (RFC 9293, section 3.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum State {
    /// No connection, or a finished one.
    #[default]
    Closed = 0,
    /// Waiting for a SYN.
    Listen,
    /// SYN sent.
    SynSent,
    /// SYN received and answered.
    SynReceived,
    /// Open.
    Established,
    /// FIN sent.
    FinWait1,
    /// FIN sent and acknowledged.
    FinWait2,
    /// FIN received.
    CloseWait,
    /// FIN sent and received at the same time.
    Closing,
    /// FIN received, then sent.
    LastAck,
    /// Both FINs exchanged and acknowledged; waiting for stray segments.
    TimeWait,
}

/// The name RFC 9293 uses, in capitals: `SYN-SENT`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
        })
    }
}

/// What an endpoint does or gets to see, as far as it moves its state.
///
/// The sender's inputs are applied before the receiver's, and a receiver's acknowledgments before its FIN.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Input {
    /// It sent a SYN without ACK.
    SendSyn,
    /// It sent a SYN with ACK.
    SendSynAck,
    /// It sent an acknowledging segment although no answer to its SYN was captured.
    SendAck,
    /// It sent a FIN.
    SendFin,
    /// It sent a FIN that does not acknowledge the FIN of the other end: the two have crossed.
    SendCrossingFin,
    /// It sent a RST.
    SendReset,
    /// It got a SYN without ACK.
    ReceiveSyn,
    /// It got a SYN with ACK that acknowledges its own SYN.
    ReceiveSynAck,
    /// Its SYN was acknowledged.
    ReceiveAckOfSyn,
    /// Its FIN was acknowledged.
    ReceiveAckOfFin,
    /// It got a FIN and everything before it.
    ReceiveFin,
    /// It got a valid RST.
    ReceiveReset,
}

impl Input {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::SendSyn,
        Self::SendSynAck,
        Self::SendAck,
        Self::SendFin,
        Self::SendCrossingFin,
        Self::SendReset,
        Self::ReceiveSyn,
        Self::ReceiveSynAck,
        Self::ReceiveAckOfSyn,
        Self::ReceiveAckOfFin,
        Self::ReceiveFin,
        Self::ReceiveReset,
    ];
}

impl State {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
    ];

    /// The state after `input` (RFC 9293, section 3.3.2, figure 5); `None` where the input moves nothing.
    #[must_use]
    pub const fn after(self, input: Input) -> Option<Self> {
        Some(match (self, input) {
            (Self::Closed | Self::Listen, Input::SendSyn) => Self::SynSent,
            (Self::Closed | Self::Listen, Input::ReceiveSyn) => Self::SynReceived,
            // A SYN that crosses ours: simultaneous open.
            (Self::SynSent, Input::ReceiveSyn) => Self::SynReceived,
            // An answer to a SYN that was not captured, or to one that crossed ours.
            (Self::Closed | Self::Listen | Self::SynSent, Input::SendSynAck) => Self::SynReceived,
            (Self::SynSent | Self::SynReceived, Input::ReceiveSynAck)
            | (Self::SynSent, Input::SendAck)
            | (Self::SynReceived, Input::ReceiveAckOfSyn) => Self::Established,
            (Self::SynReceived | Self::Established, Input::SendFin | Input::SendCrossingFin) => {
                Self::FinWait1
            }
            // It had not got the other FIN yet when it sent its own; by now it has.
            (Self::CloseWait, Input::SendCrossingFin) => Self::Closing,
            (Self::CloseWait, Input::SendFin) => Self::LastAck,
            (Self::FinWait1, Input::ReceiveAckOfFin) => Self::FinWait2,
            (Self::Closing, Input::ReceiveAckOfFin) => Self::TimeWait,
            (Self::LastAck, Input::ReceiveAckOfFin) => Self::Closed,
            (Self::SynReceived | Self::Established, Input::ReceiveFin) => Self::CloseWait,
            (Self::FinWait1, Input::ReceiveFin) => Self::Closing,
            (Self::FinWait2, Input::ReceiveFin) => Self::TimeWait,
            (Self::Closed, Input::SendReset | Input::ReceiveReset) => return None,
            (_, Input::SendReset | Input::ReceiveReset) => Self::Closed,
            _ => return None,
        })
    }

    /// Whether a connection in this state can carry data in at least one direction.
    pub const fn is_synchronized(self) -> bool {
        !matches!(
            self,
            Self::Closed | Self::Listen | Self::SynSent | Self::SynReceived
        )
    }

    /// Whether it has sent a SYN that was not acknowledged.
    pub(crate) const fn has_open_syn(self) -> bool {
        matches!(self, Self::SynSent | Self::SynReceived)
    }

    /// Whether nothing more is expected of an endpoint in this state.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::TimeWait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;
    use std::string::String;

    /// Every state with every input that moves it. A change of the machine shows here, line by line.
    #[test]
    fn the_whole_machine() {
        let mut table = String::new();
        for state in State::ALL {
            for input in Input::ALL {
                if let Some(next) = state.after(input) {
                    writeln!(table, "{state} {input:?} {next}").unwrap();
                }
            }
        }
        assert_eq!(table, MACHINE);
    }

    const MACHINE: &str = "\
CLOSED SendSyn SYN-SENT
CLOSED SendSynAck SYN-RECEIVED
CLOSED ReceiveSyn SYN-RECEIVED
LISTEN SendSyn SYN-SENT
LISTEN SendSynAck SYN-RECEIVED
LISTEN SendReset CLOSED
LISTEN ReceiveSyn SYN-RECEIVED
LISTEN ReceiveReset CLOSED
SYN-SENT SendSynAck SYN-RECEIVED
SYN-SENT SendAck ESTABLISHED
SYN-SENT SendReset CLOSED
SYN-SENT ReceiveSyn SYN-RECEIVED
SYN-SENT ReceiveSynAck ESTABLISHED
SYN-SENT ReceiveReset CLOSED
SYN-RECEIVED SendFin FIN-WAIT-1
SYN-RECEIVED SendCrossingFin FIN-WAIT-1
SYN-RECEIVED SendReset CLOSED
SYN-RECEIVED ReceiveSynAck ESTABLISHED
SYN-RECEIVED ReceiveAckOfSyn ESTABLISHED
SYN-RECEIVED ReceiveFin CLOSE-WAIT
SYN-RECEIVED ReceiveReset CLOSED
ESTABLISHED SendFin FIN-WAIT-1
ESTABLISHED SendCrossingFin FIN-WAIT-1
ESTABLISHED SendReset CLOSED
ESTABLISHED ReceiveFin CLOSE-WAIT
ESTABLISHED ReceiveReset CLOSED
FIN-WAIT-1 SendReset CLOSED
FIN-WAIT-1 ReceiveAckOfFin FIN-WAIT-2
FIN-WAIT-1 ReceiveFin CLOSING
FIN-WAIT-1 ReceiveReset CLOSED
FIN-WAIT-2 SendReset CLOSED
FIN-WAIT-2 ReceiveFin TIME-WAIT
FIN-WAIT-2 ReceiveReset CLOSED
CLOSE-WAIT SendFin LAST-ACK
CLOSE-WAIT SendCrossingFin CLOSING
CLOSE-WAIT SendReset CLOSED
CLOSE-WAIT ReceiveReset CLOSED
CLOSING SendReset CLOSED
CLOSING ReceiveAckOfFin TIME-WAIT
CLOSING ReceiveReset CLOSED
LAST-ACK SendReset CLOSED
LAST-ACK ReceiveAckOfFin CLOSED
LAST-ACK ReceiveReset CLOSED
TIME-WAIT SendReset CLOSED
TIME-WAIT ReceiveReset CLOSED
";
}
