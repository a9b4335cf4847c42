//! A mutation run in half an hour.
//!
//! cargo-mutants builds the crate anew for each mutant: three seconds of compiling for a second of
//! tests, two thousand times. Here the mutants that it lists are all in one build, each behind a
//! switch that a variable turns on, and the tests run until one notices. What cannot be switched
//! when the program runs (constants, `const fn`, conditions joined to a `let`) is listed as left.
//! `mutants/run` does all of it; `docs/evidence/mutants.md` says what it came to.

mod list;
mod run;
mod tree;
mod weave;

use std::collections::BTreeSet;
use std::path::Path;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["weave", list, from, tree] => {
            let mutants = list::read(Path::new(list));
            let woven = tree::make(Path::new(from), Path::new(tree), &mutants);
            let mut text = String::new();
            for (index, mutant) in mutants.iter().enumerate() {
                let state = match index + 1 {
                    number if woven.on.contains(&number) => "on",
                    number if woven.refused.contains(&number) => "refused",
                    _ => "left",
                };
                text += &format!("{}\t{state}\t{}\n", index + 1, mutant.name);
            }
            std::fs::write(Path::new(tree).join("mutants.tsv"), text).expect("mutants.tsv");
            let (all, on, refused) = (mutants.len(), woven.on.len(), woven.refused.len());
            println!(
                "{all} mutants: {on} in the build, {refused} do not compile, {} left",
                all - on - refused
            );
        }
        [
            "run",
            list,
            tree,
            plan,
            results,
            at_once,
            shard,
            ref only @ ..,
        ] => {
            let only = only.first().map(|path| {
                let text = std::fs::read_to_string(path).expect("a list of mutants");
                text.lines()
                    .map(list::without_place)
                    .collect::<BTreeSet<_>>()
            });
            let (part, of) = shard.split_once('/').expect("a shard as 0/2");
            let (part, of): (usize, usize) = (
                part.parse().expect("a part"),
                of.parse().expect("of how many"),
            );
            let mutants = list::read(Path::new(list));
            let tree = Path::new(tree);
            let states = std::fs::read_to_string(tree.join("mutants.tsv")).expect("mutants.tsv");
            let done = run::done(Path::new(results));
            let number = |line: &str| {
                line.split('\t')
                    .next()
                    .and_then(|n| n.parse::<usize>().ok())
            };
            let mut numbers = BTreeSet::new();
            for line in states.lines().filter(|line| line.contains("\ton\t")) {
                let is_wanted = |number: &usize| {
                    let name = list::without_place(&mutants[number - 1].name);
                    let is_listed = only.as_ref().is_none_or(|only| only.contains(&name));
                    is_listed && number % of == part && !done.contains(number)
                };
                numbers.extend(number(line).filter(is_wanted));
            }
            let steps = run::plan(&std::fs::read_to_string(plan).expect("the plan"));
            let at_once = at_once.parse().expect("a number");
            run::try_all(
                tree,
                &mutants,
                &numbers,
                &steps,
                Path::new(results),
                at_once,
            );
        }
        _ => panic!("weave LIST FROM TREE | run LIST TREE PLAN RESULTS AT_ONCE PART/OF [ONLY]"),
    }
}
