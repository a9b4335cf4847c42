//! Crash-testing a host of one's own on the simulated disk.
//!
//! The host below sends mails. Its promise: *whatever went out is on record*. Two versions of it
//! are run under a few thousand seeds; each seed is another moment at which the power fails, and
//! another choice of what the disk had kept by then. One version keeps the promise. The other
//! forgets to wait for a ticket, works on every laptop, and is found here within seconds.
//!
//! `cargo run --example crash_test`, or `-- --seed N` for one seed. In a host of your own:
//! `turnkeep = { version = "0.1", features = ["sim"] }` under `[dev-dependencies]`.
use std::sync::Arc;
use turnkeep::sim::{CrashModel, SimDisk};
use turnkeep::{Journal, Session};

/// What left the machine. No power cut takes it back.
type Outbox = Vec<String>;

/// How the host makes sure that a mail is on record before it goes out.
type Record = fn(&Session, &str) -> turnkeep::Result<()>;

/// Durable when it returns.
fn careful(session: &Session, mail: &str) -> turnkeep::Result<()> {
    session.append("mail", mail).map(|_| ())
}

/// In its place when it returns, and durable a little later: the ticket is not waited for.
fn careless(session: &Session, mail: &str) -> turnkeep::Result<()> {
    session.submit("mail", mail).map(drop)
}

fn open(disk: &SimDisk) -> turnkeep::Result<Journal> {
    // A clone is what one process has of the disk; it dies with the power. Without background
    // threads the same seed does the same thing, whatever else the machine does.
    let options = Journal::options().storage(Arc::new(disk.clone()));
    Ok(options.background(false).open("/mails.journal")?.0)
}

/// The host: it goes on until the disk fails under it.
fn host(disk: &SimDisk, record: Record, life: u64, outbox: &mut Outbox) -> turnkeep::Result<()> {
    let journal = open(disk)?;
    let session = journal.session("mails")?;
    for n in 0..20 {
        let mail = format!("mail {n} of life {life}");
        record(&session, &mail)?;
        outbox.push(mail);
    }
    journal.close()
}

/// Three lives, each ended by a power cut somewhere; then the promise is checked.
fn lives(seed: u64, record: Record) -> Result<usize, String> {
    let disk = SimDisk::new(seed);
    disk.power_loss(&CrashModel::HARSHEST);
    disk.restart();
    let mut outbox = Outbox::new();
    for life in 0..3 {
        disk.arm_power_loss(seed.wrapping_mul(31 + life) % 97);
        let _ = host(&disk, record, life, &mut outbox); // how far it came is chance
        disk.restart();
    }
    let kept = (|| {
        let session = open(&disk)?.session("mails")?;
        let entries = session.read(..)?.collect::<turnkeep::Result<Vec<_>>>()?;
        Ok::<_, turnkeep::Error>(entries)
    })();
    let kept = kept.map_err(|error| format!("the journal does not open: {error}"))?;
    let is_kept = |mail: &&String| kept.iter().any(|entry| entry.content == mail.as_bytes());
    match outbox.iter().find(|mail| !is_kept(mail)) {
        Some(mail) => Err(format!("{mail:?} went out and is not on record")),
        None => Ok(outbox.len()),
    }
}

/// How many mails went out under all seeds, or the first seed that breaks the promise.
fn survey(seeds: std::ops::Range<u64>, record: Record) -> Result<usize, (u64, String)> {
    let mut sent = 0;
    for seed in seeds {
        sent += lives(seed, record).map_err(|why| (seed, why))?;
    }
    Ok(sent)
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let seeds = match args.iter().skip_while(|arg| *arg != "--seed").nth(1) {
        Some(seed) => {
            let seed = seed.parse().expect("--seed takes a number");
            seed..seed + 1
        }
        None => 0..2000,
    };
    for (name, record) in [("careful", careful as Record), ("careless", careless)] {
        match survey(seeds.clone(), record) {
            Ok(sent) => println!(
                "{name}: {} seeds, {} power cuts, {sent} mails went out, all on record",
                seeds.end - seeds.start,
                3 * (seeds.end - seeds.start),
            ),
            Err((seed, why)) => println!("{name}: seed {seed}: {why}"),
        }
    }
}

#[test]
fn the_careful_host_keeps_its_promise_and_the_careless_one_is_found() {
    assert!(survey(0..300, careful).is_ok_and(|sent| sent > 3000));
    assert!(survey(0..300, careless).is_err());
}
