//! What do the steps of an append and of a replay cost, each alone?
//!
//! `cargo bench --bench micro`. No disk is involved: what goes to the log is thrown away.

#[path = "support/null.rs"]
mod null;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use null::NullStorage;
use std::hint::black_box;
use std::sync::Arc;
use turnkeep::format::checksum::{Seed, payload_checksum};
use turnkeep::format::frame::{Frame, FrameHeader};
use turnkeep::format::group::{Group, GroupBuffer, Place};
use turnkeep::model::event::{Envelope, Kind, decode_payload, encode_payload};
use turnkeep::model::fold::Record;
use turnkeep::model::state::State;
use turnkeep::{Epoch, Journal, JournalId, Lsn, SegmentId, Seq, Session, SessionNo};

const KIB: [u8; 1024] = [0x5A; 1024];
const GROUP_FRAMES: u64 = 64;

fn seed() -> Seed {
    Seed::of_life(JournalId([7; 16]), 1)
}

fn payload(content: &[u8]) -> Vec<u8> {
    let envelope = Envelope {
        at_ms: 1_700_000_000_000,
        name: "event",
        ..Envelope::default()
    };
    let mut out = Vec::new();
    encode_payload(&envelope, content, &mut out).expect("encodes");
    out
}

fn header(n: u64, payload: &[u8]) -> FrameHeader {
    FrameHeader {
        payload_check: payload_checksum(payload),
        lsn: Lsn::new(1 + n),
        session: SessionNo::new(1),
        seq: Seq::new(1 + n as u32),
        payload_len: payload.len() as u32,
        prev: 0,
        epoch: Epoch::new(1),
        kind: Kind::Message.get(),
        flags: 0,
        codec: 0,
        body_version: 1,
    }
}

fn place() -> Place {
    Place {
        seed: seed(),
        segment: SegmentId::new(1),
        next_lsn: Lsn::new(1),
        durable_lsn: Lsn::new(1),
        link: 0,
        prev_group: 0,
        flags: 0,
        epoch: Epoch::new(1),
        at_ms: 0,
        align: 4096,
    }
}

fn group() -> GroupBuffer {
    let payload = payload(&KIB);
    let mut buffer = GroupBuffer::default();
    for n in 0..GROUP_FRAMES {
        buffer.push(&header(n, &payload), &payload);
    }
    buffer.seal(&place());
    buffer
}

/// How long does a record of 1 KiB take to become bytes, and bytes a record?
fn frames(criterion: &mut Criterion) {
    let mut of = criterion.benchmark_group("frame/1KiB");
    of.throughput(Throughput::Bytes(1024));
    let mut out = Vec::new();
    of.bench_function("payload encode", |b| {
        b.iter(|| {
            out.clear();
            let envelope = Envelope {
                at_ms: 1_700_000_000_000,
                name: "event",
                ..Envelope::default()
            };
            encode_payload(black_box(&envelope), &KIB, &mut out)
        })
    });
    let payload = payload(&KIB);
    of.bench_function("payload checksum", |b| {
        b.iter(|| payload_checksum(black_box(&payload)))
    });
    of.bench_function("payload decode", |b| {
        b.iter(|| decode_payload(black_box(&payload)).map(|(envelope, _)| envelope.at_ms))
    });
    let header = header(0, &payload);
    let mut bytes = [0; 40];
    of.bench_function("header encode", |b| {
        b.iter(|| header.encode(seed(), black_box(&mut bytes)))
    });
    let group = group();
    let frame = &group.bytes()[64..];
    of.bench_function("decode", |b| {
        let seed = seed();
        b.iter(|| Frame::decode(seed, black_box(frame)).map(|(_, taken)| taken))
    });
    of.finish();
}

/// How fast are groups of 64 records of 1 KiB gathered, sealed and checked?
fn groups(criterion: &mut Criterion) {
    let buffer = group();
    let mut of = criterion.benchmark_group("group/64x1KiB");
    of.throughput(Throughput::Bytes(buffer.bytes().len() as u64));
    let payload = payload(&KIB);
    let mut filled = GroupBuffer::default();
    of.bench_function("gather and seal", |b| {
        b.iter(|| {
            filled.clear(1 << 20);
            for n in 0..GROUP_FRAMES {
                filled.push(&header(n, &payload), &payload);
            }
            filled.seal(&place())
        })
    });
    of.bench_function("decode", |b| {
        b.iter(|| {
            Group::decode(seed(), SegmentId::new(1), black_box(buffer.bytes()))
                .map(|group| group.check)
        })
    });
    of.finish();
}

/// How long does the fold take for one event, and for a turn from beginning to end?
fn fold(criterion: &mut Criterion) {
    let mut state = State::default();
    let envelope = Envelope {
        name: "session",
        ..Envelope::default()
    };
    let mut next = (1, 1);
    let mut apply = |state: &mut State, kind: Kind, envelope: &Envelope<'_>| {
        let record = Record {
            lsn: Lsn::new(next.0),
            session: SessionNo::new(1),
            seq: Seq::new(next.1),
            epoch: Epoch::new(1),
            kind,
            envelope,
            content_len: 1024,
        };
        next = (next.0 + 1, next.1 + 1);
        state.apply(&record).expect("folds")
    };
    apply(&mut state, Kind::SessionCreated, &envelope);
    let mut of = criterion.benchmark_group("fold");
    of.bench_function("event", |b| {
        b.iter(|| apply(&mut state, Kind::Message, black_box(&envelope)))
    });
    let mut turn = state.next_seq(SessionNo::new(1)).expect("lives").get();
    of.bench_function("turn of 3 records", |b| {
        b.iter(|| {
            let mut within = Envelope {
                key: b"request-81",
                ..envelope.clone()
            };
            apply(&mut state, Kind::TurnSubmitted, black_box(&within));
            (within.turn, within.attempt, within.key) = (turn, 1, &[]);
            apply(&mut state, Kind::TurnStarted, &within);
            apply(&mut state, Kind::TurnCompleted, &within);
            turn += 3;
        })
    });
    of.finish();
}

/// What does a ticket cost when the disk costs nothing, from one thread, commit included?
fn submit(criterion: &mut Criterion) {
    let mut of = criterion.benchmark_group("submit/512B");
    for sessions in [1, 10_000] {
        let home = tempfile::tempdir().expect("a directory");
        let (journal, _) = Journal::options()
            .background(false)
            .compact_after_bytes(u64::MAX)
            .first_segment_bytes(16 << 30)
            .segment_bytes(16 << 30)
            .max_pending_bytes(256 << 10)
            .storage(Arc::new(NullStorage))
            .open(home.path().join("journal"))
            .expect("opens");
        let all: Vec<Session> = (0..sessions)
            .map(|n| journal.session(&format!("session-{n}")).expect("opens"))
            .collect();
        let mut turn = all.iter().cycle();
        of.throughput(Throughput::Elements(100));
        of.bench_function(format!("sessions={sessions}"), |b| {
            b.iter_batched(
                || (),
                |()| {
                    for _ in 0..100 {
                        let session = turn.next().expect("goes round");
                        session.submit("event", &KIB[..512]).expect("goes in");
                    }
                },
                BatchSize::SmallInput,
            )
        });
    }
    of.finish();
}

criterion_group!(benches, frames, groups, fold, submit);
criterion_main!(benches);
