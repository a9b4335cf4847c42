//! Power-cut images of real file systems.

const HELP: &str = "\
Records what a real file system writes to its disk while a host keeps a journal on it, cuts the
power anywhere, and has the kernel mount and the engine recover what is left.

images [--fs ext4|xfs|btrfs]  the file system; ext4
       [--images N]           how many images; 200
       [--seed N]             the first host's seed; 0
       [--steps N]            about how long a host lives; 60
       [--per-host N]         images of each host's disk; 25
       [--again N]            of 100 images, how many are cut twice; 25
       [--sector N]           bytes that arrive together, 512 to 4096; 4096. With less, images
                              that do not even mount are counted, not wrong
       [--keep DIR]           where wrong images are kept; the directory for temporary files
       [--enough N]           so many wrong images end it; 10
       [--break VARIANT]      breaks the engine first (built with --features sabotage)
       [--json]               the result as one line of JSON
       [--replay FILE]        looks at an image that was kept, and at nothing else

It takes the superuser, /dev/fuse, a loop device and the file system's mkfs; where one is missing
it says SKIPPED, and which. The status is 0 if nothing is wrong, 1 if something is, 3 if it hung.";

fn main() {
    #[cfg(target_os = "linux")]
    std::process::exit(rig::main());
    #[cfg(not(target_os = "linux"))]
    println!("SKIPPED: {HELP}\nIt needs Linux.");
}

#[cfg(target_os = "linux")]
mod rig {
    use std::path::PathBuf;
    use std::time::Instant;
    use turnkeep_rigs::images::run::{Plan, Totals, replay, run};
    use turnkeep_rigs::images::volume::{Kind, Volume, missing};
    use turnkeep_rigs::{images::kept, sabotage};

    struct Settings {
        plan: Plan,
        json: bool,
        replay: Option<PathBuf>,
    }

    fn settings() -> Result<Settings, String> {
        let mut settings = Settings {
            plan: Plan {
                kind: Kind::Ext4,
                seed: 0,
                images: 200,
                steps: 60,
                per_host: 25,
                again: 25,
                keep: std::env::temp_dir(),
                sector: 4096,
                enough: 10,
            },
            json: false,
            replay: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => settings.json = true,
                "--help" | "-h" => return Err(super::HELP.into()),
                _ => {
                    let value = words.next().ok_or(format!("{word} takes a value"))?;
                    settings.set(&word, &value)?;
                }
            }
        }
        Ok(settings)
    }

    impl Settings {
        fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
            let number = || -> Result<u64, String> {
                let number = value.parse();
                number.map_err(|_| format!("{word} takes a number, not {value}"))
            };
            let plan = &mut self.plan;
            match word {
                "--fs" => {
                    plan.kind = Kind::named(value).ok_or(format!("{value}: ext4, xfs or btrfs"))?;
                }
                "--images" => plan.images = number()?,
                "--seed" => plan.seed = number()?,
                "--steps" => plan.steps = number()?.max(2) as usize,
                "--per-host" => plan.per_host = number()?.max(1),
                "--again" => plan.again = number()?,
                "--sector" => plan.sector = number()?.clamp(512, 4096) as usize,
                "--enough" => plan.enough = number()?.max(1) as usize,
                "--keep" => plan.keep = value.into(),
                "--break" => sabotage::choose(value)?,
                "--replay" => self.replay = Some(value.into()),
                _ => return Err(format!("{word} is not known; see --help")),
            }
            Ok(())
        }
    }

    pub fn main() -> i32 {
        let settings = match settings() {
            Ok(settings) => settings,
            Err(what) => {
                println!("{what}");
                return i32::from(what != super::HELP) * 2;
            }
        };
        let mut kind = settings.plan.kind;
        if let Some(path) = &settings.replay
            && let Ok((kept, _)) = kept::told(path)
        {
            kind = kept;
        }
        if let Some(why) = missing(kind) {
            println!("SKIPPED: images of {}: {why}", kind.name());
            return 0;
        }
        match settings.replay {
            Some(path) => match replay(&path) {
                Ok(count) => println!("{count} acknowledged records looked for, nothing is wrong"),
                Err(what) => {
                    println!("WRONG: {}: {what}", path.display());
                    return 1;
                }
            },
            None => return cut(&settings.plan, settings.json),
        }
        0
    }

    fn cut(plan: &Plan, json: bool) -> i32 {
        let began = Instant::now();
        let line = |totals: &Totals| {
            let seconds = began.elapsed().as_secs_f64();
            match json {
                true => as_json(plan, totals, seconds),
                false => as_words(plan, totals, seconds),
            }
        };
        let volume = Volume::new(plan.kind, plan.sector, None);
        let ran = volume.and_then(|volume| {
            match volume.mount() {
                Ok(mounted) => mounted.unmount()?,
                Err(why) => {
                    println!("SKIPPED: images of {}: {why}", plan.kind.name());
                    return Ok(None);
                }
            }
            let said = &mut |totals: &Totals| eprintln!("{}", line(totals));
            run(plan, &volume, said).map(Some)
        });
        match ran {
            Ok(None) => 0,
            Ok(Some(totals)) => {
                for wrong in &totals.wrong {
                    println!("WRONG: {wrong}");
                }
                println!("{}", line(&totals));
                i32::from(!totals.wrong.is_empty())
            }
            Err(what) => {
                println!("WRONG: the rig itself: {what}");
                1
            }
        }
    }

    fn as_words(plan: &Plan, totals: &Totals, seconds: f64) -> String {
        format!(
            "{}: {} images, {} distinct, of the disks of {} hosts ({} writes and flushes, {} \
             flushes), {} cut twice, {} with a part of the pending writes, {} of {} pending \
             sectors arrived, {} acknowledged records looked for, {} do not mount, {} wrong, {seconds:.0} s",
            plan.kind.name(),
            totals.images,
            totals.distinct.len(),
            totals.hosts,
            totals.events,
            totals.flushes,
            totals.second_cuts,
            totals.torn,
            totals.arrived,
            totals.pending,
            totals.acknowledged,
            totals.unmountable,
            totals.wrong.len(),
        )
    }

    fn as_json(plan: &Plan, totals: &Totals, seconds: f64) -> String {
        format!(
            "{{\"fs\":\"{}\",\"seed\":{},\"images\":{},\"distinct\":{},\"hosts\":{},\"events\":{},\
             \"flushes\":{},\"cut_twice\":{},\"torn\":{},\"pending\":{},\"arrived\":{},\
             \"acknowledged\":{},\"unmountable\":{},\"wrong\":{},\"seconds\":{seconds:.1}}}",
            plan.kind.name(),
            plan.seed,
            totals.images,
            totals.distinct.len(),
            totals.hosts,
            totals.events,
            totals.flushes,
            totals.second_cuts,
            totals.torn,
            totals.pending,
            totals.arrived,
            totals.acknowledged,
            totals.unmountable,
            totals.wrong.len(),
        )
    }
}
