//! The independent ledger: what was asked for and what was acknowledged.
//!
//! The process that will be killed says on a pipe what it is about to submit, before it
//! submits, and what was acknowledged, after it was. The parent writes it down. Bytes in a pipe
//! outlive their writer, so nothing said before the kill is lost with it. What is not said in
//! time errs on the safe side: an acknowledgement that did not make it asks for less.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead, Write};
use std::sync::Mutex;

/// What the process that will be killed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The journal is open.
    Opened,
    /// Step `index` of `session` will be submitted next.
    Announced {
        /// The session.
        session: u32,
        /// Its step.
        index: u64,
    },
    /// Everything up to and with step `index` of `session` is acknowledged.
    Acknowledged {
        /// The session.
        session: u32,
        /// Its step.
        index: u64,
    },
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Opened => write!(f, "o"),
            Message::Announced { session, index } => write!(f, "n {session} {index}"),
            Message::Acknowledged { session, index } => write!(f, "a {session} {index}"),
        }
    }
}

impl Message {
    fn parse(line: &str) -> Option<Message> {
        let mut words = line.split(' ');
        let tag = words.next()?;
        let session = words.next().and_then(|word| word.parse().ok());
        let index = words.next().and_then(|word| word.parse().ok());
        match (tag, session, index, words.next()) {
            ("o", None, None, None) => Some(Message::Opened),
            ("n", Some(session), Some(index), None) => Some(Message::Announced { session, index }),
            ("a", Some(session), Some(index), None) => {
                Some(Message::Acknowledged { session, index })
            }
            _ => None,
        }
    }
}

/// The side that speaks. When `tell` returns, the parent will get it, whatever happens next.
#[derive(Debug)]
pub struct Speaker<W>(Mutex<W>);

impl<W: Write> Speaker<W> {
    /// Speaks to `pipe`, which must not buffer.
    pub fn new(pipe: W) -> Speaker<W> {
        Speaker(Mutex::new(pipe))
    }

    /// Says these, in this order.
    ///
    /// # Errors
    /// The system's: the parent has gone.
    pub fn tell(&self, messages: &[Message]) -> io::Result<()> {
        let text: String = messages.iter().map(|m| format!("{m}\n")).collect();
        let mut pipe = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        pipe.write_all(text.as_bytes())?;
        pipe.flush()
    }
}

/// Reads the next message; `None` at the end. A message cut off by the kill is none.
///
/// # Errors
/// The system's, or [`io::ErrorKind::InvalidData`] for something that is no message.
pub fn listen(pipe: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut line = String::new();
    pipe.read_line(&mut line)?;
    let Some(text) = line.strip_suffix('\n') else {
        return Ok(None);
    };
    match Message::parse(text) {
        Some(message) => Ok(Some(message)),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the journaling process said {text:?}"),
        )),
    }
}

/// What is owed to one session: a prefix of its steps, between these lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// At most this many steps can be there.
    pub announced: u64,
    /// At least this many must be there.
    pub acknowledged: u64,
}

/// What is owed to every session.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    claims: BTreeMap<u32, Claim>,
    /// Sessions in which the process that was started last has not announced anything yet.
    restarted: BTreeSet<u32>,
    /// Acknowledged since the ledger was begun.
    acknowledged: u64,
}

impl Ledger {
    /// Writes a message down.
    ///
    /// # Errors
    /// What does not add up, in words: a step announced out of order, or acknowledged without
    /// having been announced. Then the demonstration itself is wrong, and proves nothing.
    pub fn note(&mut self, message: Message) -> Result<(), String> {
        match message {
            Message::Opened => {}
            Message::Announced { session, index } => {
                let claim = self.claims.entry(session).or_default();
                let recovered = claim.acknowledged..=claim.announced;
                if self.restarted.remove(&session) && recovered.contains(&index) {
                    // It goes on behind what it found, and what was once found must stay.
                    *claim = Claim {
                        announced: index,
                        acknowledged: index,
                    };
                }
                if index != claim.announced {
                    let expected = claim.announced;
                    return Err(format!(
                        "session {session} announced step {index}, expected {expected}"
                    ));
                }
                claim.announced += 1;
            }
            Message::Acknowledged { session, index } => {
                let claim = self.claims.entry(session).or_default();
                if !(claim.acknowledged..claim.announced).contains(&index) {
                    let Claim {
                        announced,
                        acknowledged,
                    } = *claim;
                    return Err(format!(
                        "session {session} acknowledged step {index}, \
                         expected {acknowledged}..{announced}"
                    ));
                }
                self.acknowledged += index + 1 - claim.acknowledged;
                claim.acknowledged = index + 1;
            }
        }
        Ok(())
    }

    /// Returns what is owed to `session`.
    pub fn claim(&self, session: u32) -> Claim {
        self.claims.get(&session).copied().unwrap_or_default()
    }

    /// Returns how many steps were acknowledged since the ledger was begun.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Goes on with a process that opens the journal by itself: in each session it continues
    /// behind what it finds there, which is anything between acknowledged and announced.
    pub fn restart(&mut self) {
        self.restarted = self.claims.keys().copied().collect();
    }

    /// Goes on from what was found after opening: `found` steps of `session` were seen, so they
    /// stay, acknowledged or not, and the session goes on behind them.
    pub fn rebase(&mut self, session: u32, found: u64) {
        let claim = Claim {
            announced: found,
            acknowledged: found,
        };
        self.claims.insert(session, claim);
        self.restarted.remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: fn(u64) -> Message = |index| Message::Announced { session: 3, index };
    const A: fn(u64) -> Message = |index| Message::Acknowledged { session: 3, index };

    #[test]
    fn what_was_said_is_heard_but_not_what_was_cut_off() {
        let said = [Message::Opened, N(0), N(1), A(12345)];
        let speaker = Speaker::new(Vec::new());
        speaker.tell(&said).expect("memory does not fail");
        let pipe = speaker.0.into_inner().expect("nobody panicked");
        // "a 3 12345" cut to "a 3 123" must not be heard as an acknowledgement of step 123.
        for cut in 0..=pipe.len() {
            let mut pipe = &pipe[..cut];
            let mut heard = Vec::new();
            while let Some(message) = listen(&mut pipe).expect("valid as far as it goes") {
                heard.push(message);
            }
            assert!(said.starts_with(&heard), "cut at {cut}: {heard:?}");
        }
        assert!(listen(&mut &b"x 1 2\n"[..]).is_err());
        assert!(listen(&mut &b"n 1\n"[..]).is_err());
        assert!(listen(&mut &b"n 1 2 3\n"[..]).is_err());
    }

    #[test]
    fn claims_follow_the_messages() {
        let mut ledger = Ledger::default();
        for message in [N(0), N(1), N(2), A(1)] {
            ledger.note(message).expect("in order");
        }
        assert_eq!(
            ledger.claim(3),
            Claim {
                announced: 3,
                acknowledged: 2
            }
        );
        assert_eq!(ledger.claim(4), Claim::default());
        assert_eq!(ledger.acknowledged(), 2);
        ledger.rebase(3, 3);
        assert_eq!(
            ledger.claim(3),
            Claim {
                announced: 3,
                acknowledged: 3
            }
        );
        ledger.note(N(3)).expect("in order");
    }

    #[test]
    fn a_restarted_process_goes_on_between_acknowledged_and_announced() {
        let mut before = Ledger::default();
        for message in [N(0), N(1), N(2), A(0)] {
            before.note(message).expect("in order");
        }
        before.restart();
        for found in 0..=4 {
            let mut ledger = before.clone();
            let noted = ledger.note(N(found));
            assert_eq!(
                noted.is_ok(),
                (1..=3).contains(&found),
                "{found}: {noted:?}"
            );
            if noted.is_ok() {
                let claim = ledger.claim(3);
                assert_eq!((claim.acknowledged, claim.announced), (found, found + 1));
                assert!(ledger.note(N(found)).is_err(), "only once");
            }
        }
    }

    #[test]
    fn messages_that_do_not_add_up_are_refused() {
        let mut ledger = Ledger::default();
        assert!(ledger.note(N(1)).is_err(), "a gap");
        assert!(ledger.note(A(0)).is_err(), "never announced");
        ledger.note(N(0)).expect("in order");
        ledger.note(A(0)).expect("in order");
        assert!(ledger.note(A(0)).is_err(), "twice");
        assert!(ledger.note(N(0)).is_err(), "twice");
    }
}
