//! How much faster than real time the simulator is: an hour of a quiet pair, and the stories that `explore` draws.
//!
//! `cargo bench --bench explore` prints the time for one simulated hour; 3600 s over it is the ratio for one core.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use twinbeat::sim::explore::{Plan, run};
use twinbeat::sim::machine::real;
use twinbeat::sim::pair::{Builtin, Pairs};
use twinbeat::sim::schedule::draw_with;
use twinbeat::sim::script::Scenario;

fn quiet() -> Scenario {
    let text = r#"{"title": "quiet", "config": "pairs/recipe.toml", "timeline": [{"at": "0s", "start": ["master1", "master2"]}],
                   "until": "1h"}"#;
    serde_json::from_str(text).unwrap()
}

fn explore(c: &mut Criterion) {
    let mut group = c.benchmark_group("one simulated hour, default profile");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    let reference = "pairs/recipe.toml";
    let pair = (reference.to_string(), Builtin.pair(Path::new(""), reference).unwrap());
    let plan = Plan { pair: Some(pair), threads: 1, ..Plan::seeds(0, 100) };
    let hour = quiet();
    group.bench_function("quiet", |b| b.iter(|| black_box(run(&hour, &plan, real))));
    // As many drawn stories as make an hour together.
    let mut stories = Vec::new();
    let mut sum = 0;
    for seed in plan.from.. {
        let story = draw_with(seed, &[], plan.pair.as_ref());
        sum += story.until.0.0;
        stories.push(story);
        if sum >= 3_600_000_000_000 {
            break;
        }
    }
    let hours = sum as f64 / 3.6e12;
    group.bench_function(format!("{} drawn stories ({hours:.3} h)", stories.len()), |b| {
        b.iter(|| stories.iter().map(|story| black_box(run(story, &plan, real)).1.0).sum::<u64>());
    });
    group.finish();
}

criterion_group!(benches, explore);
criterion_main!(benches);
