//! What a heartbeat costs: to sign, to seal for a path, to open, to recognise as a copy, to refuse.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;
use twinbeat::core::heartbeat::Heartbeat;
use twinbeat::core::id::NodeId;
use twinbeat::wire::{Names, Opener, Pair, Path, Signer};

fn beat(number: u64) -> Heartbeat {
    let json = format!(
        r#"{{"v":2,"from":0,"inc":17,"n":{number},"cfg":1311768467463790320,"lease":700000000,"of":{{"inc":41,"lease":700000000}},
        "echo":[{{"l":"cross","n":99,"h":3000000}},{{"l":"lan","n":99,"h":3000000}},{{"l":"relay","n":98,"h":5000000}}],
        "reach":true,"car":true,"g":[{{"name":"web","role":"o","e":6,"gate":true,"ok":true}},{{"name":"db","role":"s","e":5,"ok":true}}]}}"#
    );
    serde_json::from_str(&json).unwrap()
}

fn wire(c: &mut Criterion) {
    let (a, b) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let pair = Pair { cluster: "demo", nodes: ["alfa", "bravo"], me: NodeId(0) };
    let signer = Signer::new(&pair, &a, &b.verifying_key()).unwrap();
    let names = Names::new(["cross", "lan", "relay", "web", "db"].map(Into::into));
    let new_opener = || Opener::new(&Pair { me: NodeId(1), ..pair }, &b, &a.verifying_key(), names.clone()).unwrap();
    let (cross, lan) = (Path::Link("cross".into()), Path::Link("lan".into()));
    let signed = signer.sign(&beat(1)).unwrap();
    let frame = signer.seal(&signed, &cross);
    println!("the frame has {} bytes", frame.len());

    c.bench_function("sign", |bench| {
        let beat = beat(1);
        bench.iter(|| signer.sign(black_box(&beat)).unwrap());
    });
    c.bench_function("seal", |bench| bench.iter(|| signer.seal(black_box(&signed), &cross)));
    c.bench_function("open, new", |bench| {
        let frames: Vec<_> = (0..64).map(|n| signer.seal(&signer.sign(&beat(n)).unwrap(), &cross)).collect();
        let mut opener = new_opener();
        let mut frames = frames.iter().cycle();
        bench.iter_batched(|| frames.next().unwrap(), |frame| opener.open(&cross, frame).unwrap(), BatchSize::SmallInput);
        assert_eq!(opener.tally().copies, 0);
    });
    c.bench_function("open, a copy over another link", |bench| {
        let mut opener = new_opener();
        opener.open(&cross, &frame).unwrap();
        let copy = signer.seal(&signed, &lan);
        bench.iter(|| opener.open(&lan, black_box(&copy)).unwrap());
        assert_eq!(opener.tally().verifications, 1);
    });
    c.bench_function("refuse, wrong tag", |bench| {
        let mut opener = new_opener();
        let mut bogus = frame.clone();
        bogus[10] ^= 1;
        bench.iter(|| opener.open(&cross, black_box(&bogus)).unwrap_err());
    });
    c.bench_function("refuse, wrong magic", |bench| {
        let mut opener = new_opener();
        let bogus = vec![0; frame.len()];
        bench.iter(|| opener.open(&cross, black_box(&bogus)).unwrap_err());
    });
}

criterion_group!(benches, wire);
criterion_main!(benches);
