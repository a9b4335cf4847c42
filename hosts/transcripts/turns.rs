//! Which turn a line belongs to.
//!
//! Hosts differ in what they write. Codex says where a task starts and ends, and may be killed
//! before it says the second. Claude Code writes prompts and answers, and mostly no end at
//! all. Readers of a format reduce each line to a [`Mark`]; [`Turns`] does the rest.

use serde::{Deserialize, Serialize};

/// What a line means for the turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The host says that a turn starts.
    Begins,
    /// Somebody asks. This starts a turn, unless the host's own word says that one is running.
    Asks {
        /// Whether the format writes one prompt as several lines.
        may_repeat: bool,
    },
    /// The agent calls a tool: it is not done.
    Calls,
    /// The agent says something.
    Says,
    /// The agent says something and that it is done.
    Done,
    /// The agent failed, for example on an error of its provider.
    Fails,
    /// The host says that the turn ends, and how.
    Ends(Outcome),
    /// Nothing.
    #[default]
    Other,
}

/// How a turn ended, as far as a transcript tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered.
    Completed,
    /// It was stopped, or its host was.
    Interrupted,
    /// It failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// The transcript stops before its end; it may still be running.
    Open,
}

/// The place of a line among the turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The turn it belongs to, from 1; none before the first and between two.
    pub turn: Option<u32>,
    /// Whether that turn starts here.
    pub starts: bool,
    /// The turn ends with this line, like this.
    pub ends: Option<Outcome>,
    /// The turn before had no end of its own; it ended like this before the line.
    pub closes: Option<Outcome>,
}

/// Follows the turns of one transcript. Can be saved, to go on when the transcript has grown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    count: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Open {
    /// Started by [`Mark::Begins`], so its end is written too, if it came to that.
    declared: bool,
    /// What the agent did last.
    last: Option<Mark>,
}

impl Turns {
    /// Returns how many turns there were so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Takes the next line's mark and returns the line's place.
    pub fn place(&mut self, mark: Mark) -> Place {
        match (mark, &mut self.open) {
            (Mark::Begins, _) => return self.start(true),
            (Mark::Asks { .. }, Some(open)) if open.declared => {}
            (Mark::Asks { may_repeat: true }, Some(open)) if open.last.is_none() => {}
            (Mark::Asks { .. }, _) => return self.start(false),
            (Mark::Ends(outcome), Some(_)) => {
                self.open = None;
                return Place {
                    turn: Some(self.count),
                    ends: Some(outcome),
                    ..Place::default()
                };
            }
            (Mark::Calls | Mark::Says | Mark::Done | Mark::Fails, Some(open)) => {
                open.last = Some(mark);
            }
            _ => {}
        }
        Place {
            turn: self.open.map(|_| self.count),
            ..Place::default()
        }
    }

    /// Returns how the last turn stands at the end of the file, if it has not ended.
    pub fn finish(&mut self) -> Option<Outcome> {
        let open = self.open.take()?;
        Some(match open.last {
            Some(Mark::Done) if !open.declared => Outcome::Completed,
            Some(Mark::Fails) if !open.declared => Outcome::Failed,
            _ => Outcome::Open,
        })
    }

    fn start(&mut self, declared: bool) -> Place {
        let before = self.open.replace(Open {
            declared,
            last: None,
        });
        self.count += 1;
        Place {
            turn: Some(self.count),
            starts: true,
            ends: None,
            closes: before.map(Open::superseded),
        }
    }
}

impl Open {
    /// How a turn ended that has no end of its own and was followed by another.
    fn superseded(self) -> Outcome {
        match self.last {
            _ if self.declared => Outcome::Interrupted,
            Some(Mark::Says | Mark::Done) => Outcome::Completed,
            Some(Mark::Fails) => Outcome::Failed,
            _ => Outcome::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Mark = Mark::Asks { may_repeat: false };
    const ASK_AGAIN: Mark = Mark::Asks { may_repeat: true };

    fn places(marks: &[Mark]) -> (Vec<Place>, Option<Outcome>) {
        let mut turns = Turns::default();
        let places = marks.iter().map(|m| turns.place(*m)).collect();
        (places, turns.finish())
    }

    #[test]
    fn an_answered_prompt_is_completed_by_the_next() {
        let (p, end) = places(&[Mark::Other, ASK, Mark::Calls, Mark::Other, Mark::Says, ASK]);
        assert_eq!(p[0].turn, None);
        assert!(p[1].starts && p[1].closes.is_none());
        assert!(p[2..5].iter().all(|p| p.turn == Some(1) && !p.starts));
        assert_eq!(
            (p[5].turn, p[5].closes),
            (Some(2), Some(Outcome::Completed))
        );
        assert_eq!(end, Some(Outcome::Open));
    }

    #[test]
    fn a_prompt_in_the_middle_of_a_tool_call_interrupts() {
        let (p, _) = places(&[ASK, Mark::Calls, Mark::Other, ASK]);
        assert_eq!(p[3].closes, Some(Outcome::Interrupted));
    }

    #[test]
    fn a_declared_turn_without_its_end_was_interrupted() {
        let (p, end) = places(&[
            Mark::Begins,
            ASK_AGAIN,
            Mark::Says,
            Mark::Begins,
            Mark::Says,
            ASK_AGAIN,
            Mark::Ends(Outcome::Completed),
            Mark::Other,
        ]);
        assert_eq!(p[1].turn, Some(1));
        assert!(!p[1].starts);
        assert_eq!(p[3].closes, Some(Outcome::Interrupted));
        // A word thrown in while the task runs.
        assert_eq!((p[5].turn, p[5].starts), (Some(2), false));
        assert_eq!((p[6].turn, p[6].ends), (Some(2), Some(Outcome::Completed)));
        assert_eq!(p[7].turn, None);
        assert_eq!(end, None);
    }

    #[test]
    fn a_prompt_written_twice_is_one_turn() {
        let (p, _) = places(&[ASK_AGAIN, ASK_AGAIN, Mark::Says, ASK_AGAIN]);
        assert_eq!(p.iter().filter(|p| p.starts).count(), 2);
        let (p, _) = places(&[ASK, ASK]);
        assert_eq!(p.iter().filter(|p| p.starts).count(), 2);
    }

    #[test]
    fn an_end_without_a_start_is_no_turn() {
        let (p, end) = places(&[Mark::Ends(Outcome::Interrupted), Mark::Says]);
        assert!(p.iter().all(|p| *p == Place::default()));
        assert_eq!(end, None);
    }
}
