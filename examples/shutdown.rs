//! A host that is told to stop: it has five seconds, and then it says what is durable.
//!
//! `cargo run --example shutdown --features tokio`, then Ctrl-C, or `kill` from another terminal. Every turn
//! that was acknowledged is there the next time; one that was under way is told, and taken up again.
//! The panic hook shows the last resort: it needs no runtime, and works in the thread that panics.
use std::path::Path;
use std::time::Duration;
use turnkeep::aio::{AsyncJournal, AsyncSession};
use turnkeep::{Drained, Input, Journal};

/// What an orchestrator gives a process before it kills it, less a margin.
const LIMIT: Duration = Duration::from_secs(5);

/// Makes what is in flight durable before a panic ends the process.
fn sync_on_panic(journal: Journal) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        match journal.sync_within(LIMIT) {
            Ok(drained) => eprintln!("{drained}"),
            Err(error) => eprintln!("{error}"),
        }
        before(panic);
    }));
}

/// The agent: a turn after another, each with some work that takes a while.
async fn work(session: AsyncSession) -> turnkeep::Result<()> {
    for n in 0_u64.. {
        let mut turn = session.begin(Input::user(format!("question {n}"))).await?;
        turn.started().await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        turn.event("thought", format!("about {n}")).await?;
        turn.complete(format!("answer {n}")).await?;
    }
    Ok(())
}

/// Returns when the process is asked to end.
#[cfg(unix)]
async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        asked = tokio::signal::ctrl_c() => asked,
    }
}

#[cfg(not(unix))]
async fn asked_to_stop() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

async fn host(path: &Path) -> Result<Drained, Box<dyn std::error::Error>> {
    let (journal, recovery) = AsyncJournal::open(path).await?;
    println!("{recovery}");
    sync_on_panic(journal.blocking().clone());
    let session = journal.session("agent-7f3a").await?;
    for left in journal.open_turns().await? {
        // This agent begins again; another would look at what the turn had.
        session.turn(left.turn).await?.interrupt("stopped").await?;
    }
    tokio::select! {
        done = work(session) => done?,
        asked = asked_to_stop() => asked?,
    }
    Ok(journal.close_within(LIMIT).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or("agents.journal".into());
    println!("{}", host(Path::new(&path)).await?);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_host_that_is_terminated_closes_in_time_and_leaves_no_recovery() {
    use rustix::process::{Signal, getpid, kill_process};
    let home = tempfile::tempdir().expect("a folder");
    let path = home.path().join("agents.journal");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for life in 0..3 {
        let drained = runtime.block_on(async {
            let host = tokio::spawn({
                let path = path.clone();
                async move { host(&path).await.map_err(|error| error.to_string()) }
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            kill_process(getpid(), Signal::TERM).expect("is sent");
            host.await.expect("ends").expect("closes")
        });
        assert!(drained.is_complete() && drained.in_time, "{drained}");
        let (journal, recovery) = Journal::open(&path).expect("opens");
        assert!(recovery.clean, "life {life}: {recovery}");
        let session = journal.find("agent-7f3a").expect("is there");
        let info = session.info().expect("tells");
        assert!(info.turns > life && info.open_turns <= 1, "{info:?}");
    }
}
