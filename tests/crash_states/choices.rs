//! Which crash states of a moment are looked at, in which order: the same for the same seed.
//!
//! If there are few enough, all of them: every option of every choice with every other. Else
//! nothing, everything, each choice alone, each left out, every prefix and suffix, and the rest
//! of the budget by chance. Then harm: sectors torn at any byte, or nonsense, and with them what
//! a disk without powersafe overwrite takes along.

use crate::work::Random;
use turnkeep::storage::sim::{Harm, Pending};

/// One crash state of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub picks: Vec<u32>,
    pub harms: Vec<Harm>,
}

impl Choice {
    /// The smallest that still breaks what this one breaks: nothing that survived, and no harm,
    /// can be taken away from it.
    pub fn shrink(&self, breaks: impl Fn(&Choice) -> bool) -> Choice {
        let mut small = self.clone();
        let try_less = |small: &mut Choice, less: Choice| {
            let is_less = less != *small && breaks(&less);
            if is_less {
                *small = less;
            }
            is_less
        };
        loop {
            let mut any = false;
            for at in 0..small.harms.len() {
                let mut less = small.clone();
                less.harms.remove(at);
                if try_less(&mut small, less) {
                    any = true;
                    break;
                }
            }
            for at in 0..small.picks.len() {
                let mut less = small.clone();
                less.picks[at] = 0;
                any |= try_less(&mut small, less);
            }
            if !any {
                return small;
            }
        }
    }
}

/// How many states of one moment are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Up to so many, all combinations are; beyond, so many of them.
    pub whole: u64,
    /// With harm.
    pub harmed: u64,
}

/// Hands the states of a moment to `look`. True if every combination was among them.
///
/// # Errors
/// What `look` returns.
pub fn choices<E>(
    pending: &Pending,
    budget: Budget,
    seed: u64,
    look: &mut impl FnMut(&Choice) -> Result<(), E>,
) -> Result<bool, E> {
    let options = pending.options();
    let mut random = Random::new(seed);
    let mut choice = Choice {
        picks: vec![0; options.len()],
        harms: Vec::new(),
    };
    let all = options.iter().try_fold(1_u64, |product, options| {
        product.checked_mul(u64::from(*options))
    });
    let is_whole = all.is_some_and(|all| all <= budget.whole);
    if is_whole {
        look(&choice)?;
        while count_up(&mut choice.picks, options) {
            look(&choice)?;
        }
    } else {
        some(options, budget.whole, &mut random, &mut choice, look)?;
    }
    let (sectors, neighbours) = (pending.sectors(), pending.neighbours() as u64);
    if sectors.is_empty() {
        return Ok(is_whole);
    }
    for _ in 0..budget.harmed {
        let odds = [0, 50, 90, 100][random.below(4) as usize];
        pick(options, odds, &mut random, &mut choice.picks);
        choice.harms.clear();
        let harms = 1 + random.below(3);
        for _ in 0..harms {
            let sector = random.below(sectors.len() as u64) as usize;
            choice.harms.push(match random.below(6) {
                0 | 1 if neighbours > 0 => Harm::Neighbour {
                    neighbour: random.below(neighbours) as usize,
                    seed: random.next(),
                },
                0..=3 => Harm::Torn {
                    sector,
                    rest: random.below(u64::from(options[sectors[sector]])) as u32,
                    cut: 1 + random.below(511) as usize,
                },
                _ => Harm::Garbage {
                    sector,
                    seed: random.next(),
                },
            });
        }
        look(&choice)?;
    }
    Ok(is_whole)
}

/// Counts one up, the first choice fastest; false after the last.
fn count_up(picks: &mut [u32], options: &[u32]) -> bool {
    for (pick, options) in picks.iter_mut().zip(options) {
        *pick += 1;
        if *pick < *options {
            return true;
        }
        *pick = 0;
    }
    false
}

fn some<E>(
    options: &[u32],
    budget: u64,
    random: &mut Random,
    choice: &mut Choice,
    look: &mut impl FnMut(&Choice) -> Result<(), E>,
) -> Result<(), E> {
    let newest = |at: usize| options[at] - 1;
    let mut left = budget;
    let mut try_one = |choice: &Choice, left: &mut u64| {
        *left = left.saturating_sub(1);
        look(choice)
    };
    let mut shape = |takes: &dyn Fn(usize) -> bool, choice: &mut Choice, left: &mut u64| {
        for at in 0..options.len() {
            choice.picks[at] = if takes(at) { newest(at) } else { 0 };
        }
        try_one(choice, left)
    };
    shape(&|_| false, choice, &mut left)?;
    shape(&|_| true, choice, &mut left)?;
    for at in 0..options.len() {
        if left < budget / 4 {
            break;
        }
        shape(&|other| other == at, choice, &mut left)?;
        shape(&|other| other != at, choice, &mut left)?;
        shape(&|other| other < at, choice, &mut left)?;
        shape(&|other| other > at, choice, &mut left)?;
    }
    for _ in 0..left {
        let odds = [10, 50, 50, 90][random.below(4) as usize];
        pick(options, odds, random, &mut choice.picks);
        look(choice)?;
    }
    Ok(())
}

/// Picks something new with these odds, and mostly the newest.
fn pick(options: &[u32], percent: u64, random: &mut Random, picks: &mut [u32]) {
    for (pick, options) in picks.iter_mut().zip(options) {
        *pick = match random.chance(percent) {
            false => 0,
            true if *options == 2 || random.chance(60) => options - 1,
            true => random.below(u64::from(*options)) as u32,
        };
    }
}
