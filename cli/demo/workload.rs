//! What the agents of the demonstration do, derived from a seed alone.
//!
//! The process that is killed and the process that checks both make every payload for
//! themselves; nothing that one tells the other is believed about contents.

use super::rng::Rng;
use super::script::Script;
use std::borrow::Cow;

/// Sizes of real transcript lines, as (share of lines below, bytes). Measured on sessions of
/// Claude Code and Codex: median 640 B, nine in ten under 2.4 KB, one in a hundred over 24 KB.
const SIZES: [(f64, f64); 5] = [
    (0.0, 120.0),
    (0.5, 640.0),
    (0.9, 2_400.0),
    (0.99, 24_000.0),
    (1.0, 178_000.0),
];

/// A turn has up to this many events between its beginning and its end.
const MAX_EVENTS: u64 = 12;

/// What one step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// A turn begins with this input.
    Begin,
    /// Something happens in it.
    Event,
    /// It ends with this answer.
    Complete,
}

/// One step of one session, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which session, from 0.
    pub session: u32,
    /// Which of its steps, from 0.
    pub index: u64,
    /// Which of its turns, from 0.
    pub turn: u64,
    /// What it does.
    pub op: Op,
}

/// Everything that all sessions will ever do.
#[derive(Clone, Debug)]
pub enum Workload {
    /// Made up.
    Generated {
        /// From this.
        seed: u64,
    },
    /// Lines of real transcripts, over and over. Session `n` replays script `n` modulo their
    /// number. Never empty.
    Replayed(Vec<Script>),
}

impl Workload {
    /// Iterates over the steps of `session`, for ever. Cheap: payloads are made on demand.
    pub fn steps(&self, session: u32) -> Steps<'_> {
        Steps {
            workload: self,
            session,
            index: 0,
            turn: 0,
            at: 0,
        }
    }

    /// Makes the payload of a step.
    pub fn payload(&self, step: &Step) -> Cow<'_, [u8]> {
        match self {
            Workload::Generated { seed } => Cow::Owned(generate(*seed, step)),
            Workload::Replayed(scripts) => {
                let script = script_of(scripts, step.session);
                let line = &script.steps[(step.index % script.steps.len() as u64) as usize];
                Cow::Borrowed(&line.1)
            }
        }
    }
}

/// Iterates over the steps of one session.
#[derive(Clone, Debug)]
pub struct Steps<'w> {
    workload: &'w Workload,
    session: u32,
    index: u64,
    turn: u64,
    /// Steps of this turn so far.
    at: u64,
}

impl Iterator for Steps<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        let op = match self.workload {
            Workload::Generated { seed } => {
                let mut rng = Rng::of(&[*seed, u64::from(self.session), self.turn, 1]);
                let events = rng.below(MAX_EVENTS + 1);
                match self.at {
                    0 => Op::Begin,
                    at if at <= events => Op::Event,
                    _ => Op::Complete,
                }
            }
            Workload::Replayed(scripts) => {
                let script = script_of(scripts, self.session);
                script.steps[(self.index % script.steps.len() as u64) as usize].0
            }
        };
        let step = Step {
            session: self.session,
            index: self.index,
            turn: self.turn,
            op,
        };
        self.index += 1;
        self.at += 1;
        if op == Op::Complete {
            self.turn += 1;
            self.at = 0;
        }
        Some(step)
    }
}

fn script_of(scripts: &[Script], session: u32) -> &Script {
    &scripts[session as usize % scripts.len()]
}

/// A payload that names itself, so that one found in the wrong place is recognised, followed
/// by letters.
fn generate(seed: u64, step: &Step) -> Vec<u8> {
    let mut rng = Rng::of(&[seed, u64::from(step.session), step.index, 2]);
    let len = size_at(rng.unit());
    let (session, index, turn) = (step.session, step.index, step.turn);
    let mut payload = Vec::with_capacity(len + 8);
    payload.extend_from_slice(
        format!(r#"{{"session":{session},"turn":{turn},"step":{index},"text":""#).as_bytes(),
    );
    while payload.len() < len - 2 {
        // Sixteen letters a to p: a nibble each.
        let noise = rng.next().to_le_bytes().map(|byte| (byte & 0x0F) + b'a');
        payload.extend_from_slice(&noise);
    }
    payload.truncate(len - 2);
    payload.extend_from_slice(b"\"}");
    payload
}

/// The size below which a share of `quantile` of all payloads is.
fn size_at(quantile: f64) -> usize {
    let above = SIZES.iter().position(|(share, _)| quantile < *share);
    let above = above.unwrap_or(SIZES.len() - 1);
    let ((from, low), (to, high)) = (SIZES[above - 1], SIZES[above]);
    let part = (quantile - from) / (to - from);
    (low.ln() + part * (high.ln() - low.ln())).exp() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_work_and_another_makes_other() {
        let [a, b, c] = [7, 7, 8].map(|seed| Workload::Generated { seed });
        for (step, same) in a.steps(3).zip(b.steps(3)).take(500) {
            assert_eq!(step, same);
            assert_eq!(a.payload(&step), b.payload(&same));
            assert_ne!(a.payload(&step), c.payload(&step));
        }
    }

    #[test]
    fn turns_begin_have_events_and_end() {
        let work = Workload::Generated { seed: 1 };
        let mut before = Op::Complete;
        let mut turn = 0;
        for step in work.steps(0).take(10_000) {
            assert_eq!(step.op == Op::Begin, before == Op::Complete);
            assert_eq!(step.turn, turn);
            turn += u64::from(step.op == Op::Complete);
            before = step.op;
        }
        assert!(turn > 1000);
    }

    #[test]
    fn sizes_are_spread_like_those_of_real_transcripts() {
        let work = Workload::Generated { seed: 1 };
        let steps = work.steps(0).take(20_000);
        let mut sizes: Vec<_> = steps.map(|s| work.payload(&s).len()).collect();
        sizes.sort_unstable();
        let at = |share: f64| sizes[(share * sizes.len() as f64) as usize];
        assert!((550..750).contains(&at(0.5)), "{}", at(0.5));
        assert!((2_000..2_900).contains(&at(0.9)), "{}", at(0.9));
        assert!((18_000..32_000).contains(&at(0.99)), "{}", at(0.99));
        assert!(sizes[0] >= 100 && sizes[sizes.len() - 1] <= 178_000);
    }

    #[test]
    fn every_payload_names_itself() {
        let work = Workload::Generated { seed: 1 };
        let step = work.steps(5).nth(77).expect("steps never end");
        let payload = work.payload(&step);
        let payload: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(payload["session"], 5);
        assert_eq!(payload["step"], 77);
    }
}
